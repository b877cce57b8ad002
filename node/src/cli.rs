//! The command line: one table of commands behind parsing, `--help`, completions and `docs/reference/cli.md`.
//!
//! Commands either speak to the node of a data folder over its socket, or work on files alone; each does one
//! thing and ends. What they say goes through a [`Screen`], what goes wrong is a [`Fault`] with a stable
//! code, and both decide the exit code: 0 done, 1 failed, 2 usage, 3 stored here but not delivered in time,
//! 4 refused by policy, 130 after Ctrl-C.
//!
//! * A command that wrote says so only after the node has it on its disk.
//! * Words of delivery are those of the core's one table; nothing here claims more than the node does.
//! * No secret is an argument.
//!
//! Not here: the node itself. A command that starts it, founds an organisation or plays the demo is a few
//! lines around the module that does it.

pub mod completions;
pub mod config;
pub mod doctor;
pub mod ecg;
pub mod explain;
pub mod inbox;
pub mod init;
pub mod org;
pub mod passphrase;
pub mod run;
pub mod screen;
pub mod status;
pub mod thread;
pub mod wait;
pub mod write;

use crate::api::types::Fault;
use crate::client::{Client, socket_in};
use crate::fault::{self, Exit};
use aidmesh_host::node::Hooks;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use screen::Screen;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wait::Goal;

/// Everything that can be said.
#[derive(Debug, Parser)]
#[command(
    name = "aidmesh",
    version,
    about = "Sends ECGs and messages from ambulances to hospitals; nobody between can read them.",
    after_help = "Examples:\n  \
        aidmesh thread new \"7K2\" --kind patient --to \"Dr K\"\n  \
        aidmesh ecg send 7K2 ecg.dcm --class alarm --wait delivered\n  \
        aidmesh status 7K2\n\n\
        Exit codes: 0 done, 1 failed, 2 usage, 3 stored but not delivered in time, 4 refused by policy,\n\
        130 after Ctrl-C. Times are UTC."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
    /// With every command.
    #[command(flatten)]
    pub all: Everywhere,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "With every command")]
pub struct Everywhere {
    /// The data folder. Else $AIDMESH_DATA, else $XDG_DATA_HOME/aidmesh, else ~/.local/share/aidmesh.
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Objects for programs on standard output, one a line; errors as an object on standard error.
    #[arg(long, global = true)]
    pub json: bool,
    /// Wait until every recipient's device has it, or a person has seen or acknowledged it.
    #[arg(long, global = true, value_name = "STATE", value_enum)]
    pub wait: Option<Goal>,
    /// How long to wait: 500ms, 30s, 5m, 1h.
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = wait::duration)]
    pub timeout: Duration,
    /// File with the passphrase of the vault. Else the systemd credential aidmesh-passphrase, else it is
    /// asked for on the terminal.
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Tell more on standard error; twice: still more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Make this device's folder: found an organisation, or join one.
    Init(init::Init),
    /// Run this device, until Ctrl-C.
    Run(run::Run),
    /// The desk of an organisation: let devices in, trust, revoke.
    #[command(subcommand)]
    Org(org::Org),
    /// Threads: a patient's team, an incident, a hotline.
    #[command(subcommand)]
    Thread(thread::Thread),
    /// Send a text.
    Send(write::Send),
    /// Send, look at or draw an ECG.
    #[command(subcommand)]
    Ecg(ecg::Ecg),
    /// What others sent to this device.
    Inbox(inbox::Inbox),
    /// Take the files of an entry out of the store, and tell its author that you have seen it.
    Open(inbox::Open),
    /// Answer an entry: you have it, and what you do.
    Ack(write::Ack),
    /// Take an entry back.
    Recall(write::Recall),
    /// Who has what, from evidence only.
    Status(status::Status),
    /// Check this device; each line says how to fix it.
    Doctor(doctor::Doctor),
    /// What a code means and what to do.
    Explain(explain::Explain),
    /// Settings of this device.
    #[command(subcommand)]
    Config(config::Config),
    /// Play the whole promise with three processes on this machine; fails if any part of it does not hold.
    #[command(after_help = "Examples:\n  \
        aidmesh demo\n  \
        aidmesh demo --ecg ecg.dcm --exit\n  \
        aidmesh demo --kill relay --json --exit")]
    Demo(crate::demo::Flags),
    /// Completions for a shell.
    Completions(completions::Completions),
}

/// What a command works with.
pub struct Context {
    /// Where it speaks.
    pub screen: Screen,
    /// The data folder.
    pub data: PathBuf,
    /// State to wait for, if any.
    pub wait: Option<Goal>,
    /// How long.
    pub timeout: Duration,
    /// File with the passphrase, if one was named.
    pub passphrase_file: Option<PathBuf>,
}

impl Context {
    /// The node of the data folder.
    ///
    /// # Errors
    /// `AM-NODE-01` if none runs.
    pub fn node(&self) -> Result<Client, Fault> {
        Client::connect(&socket_in(&self.data))
    }
}

/// The command line, with these arguments; the first is the program's name.
pub fn main_from(arguments: impl IntoIterator<Item = OsString>, hooks: Hooks) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let screen = Screen::standard(arguments.iter().any(|word| word == "--json"));
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => perform(cli, screen, hooks),
        Err(why) => not_understood(&why, screen),
    }
}

/// Does what was said and gives the exit code.
pub fn perform(cli: Cli, mut screen: Screen, hooks: Hooks) -> Exit {
    let Some(data) = data_folder(cli.all.data.as_deref(), &|name| std::env::var_os(name)) else {
        let fault = fault::with("AM-STORE-01", "no home folder; say where with --data DIR");
        screen.fault(&fault);
        return fault.exit();
    };
    let mut context = Context {
        screen,
        data,
        wait: cli.all.wait,
        timeout: cli.all.timeout,
        passphrase_file: cli.all.passphrase_file.clone(),
    };
    tell_more(cli.all.verbose);
    let done = waits_for_nothing(&cli).map_or_else(|| act(cli.what, &mut context, hooks), Err);
    match done {
        Ok(exit) if context.screen.told() => exit,
        Ok(_) => Exit::Failed,
        Err(fault) => {
            context.screen.fault(&fault);
            fault.exit()
        }
    }
}

fn act(what: What, context: &mut Context, hooks: Hooks) -> Result<Exit, Fault> {
    // commands that need no node
    match what {
        What::Ecg(ecg::Ecg::Info(info)) => return info.act(context),
        What::Ecg(ecg::Ecg::Draw(draw)) => return draw.act(context),
        What::Explain(explain) => return explain.act(context),
        What::Config(config) => return config.act(context),
        What::Completions(completions) => return Ok(completions.act(context)),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|why| fault::with("AM-USE-07", why))?;
    runtime.block_on(async {
        match what {
            What::Init(init) => init.act(context).await,
            What::Run(run) => run.act(context, hooks).await,
            What::Org(org) => org.act(context).await,
            What::Demo(flags) => Ok(play(flags, context.screen.json(), hooks).await),
            What::Thread(thread) => thread.act(context).await,
            What::Send(send) => send.act(context).await,
            What::Ecg(ecg::Ecg::Send(send)) => send.act(context).await,
            What::Inbox(inbox) => inbox.act(context).await,
            What::Open(open) => open.act(context).await,
            What::Ack(ack) => ack.act(context).await,
            What::Recall(recall) => recall.act(context).await,
            What::Status(status) => status.act(context).await,
            What::Doctor(doctor) => doctor.act(context).await,
            _ => unreachable!("commands without a node were done above"),
        }
    })
}

async fn play(flags: crate::demo::Flags, json: bool, hooks: Hooks) -> Exit {
    let flags = crate::demo::Flags { json, ..flags };
    match crate::demo::run(flags, hooks, Box::new(std::io::stdout())).await {
        0 => Exit::Fine,
        130 => Exit::Interrupted,
        _ => Exit::Failed,
    }
}

/// `--wait` where nothing is sent would be silently without effect.
fn waits_for_nothing(cli: &Cli) -> Option<Fault> {
    let can = match &cli.what {
        What::Send(_) | What::Ack(_) | What::Recall(_) | What::Ecg(ecg::Ecg::Send(_)) => true,
        What::Status(status) => status.what.is_some(),
        _ => false,
    };
    (cli.all.wait.is_some() && !can).then(|| fault::of("AM-USE-04"))
}

/// The data folder, by flag, variable or the XDG base directory specification 0.8.
fn data_folder(flag: Option<&Path>, environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let variable = |name| {
        environment(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    flag.map(Path::to_owned)
        .or_else(|| variable("AIDMESH_DATA"))
        .or_else(|| {
            // the specification wants relative paths ignored
            let shared = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
            let shared = shared.or_else(|| Some(variable("HOME")?.join(".local/share")));
            Some(shared?.join("aidmesh"))
        })
}

/// Logs on standard error: warnings, with `-v` what happens, with `-vv` all.
fn tell_more(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    let logs = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr);
    // a test that runs commands in one process has one already
    let _ = logs.with_ansi(false).try_init();
}

/// Help and version go to standard output; what cannot be understood goes to standard error.
fn not_understood(why: &clap::Error, mut screen: Screen) -> Exit {
    let text = why.render().to_string();
    match why.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            screen.raw(text.as_bytes());
            Exit::Fine
        }
        _ if screen.json() => {
            let first = text.lines().next().unwrap_or_default();
            let how = first.strip_prefix("error: ").unwrap_or(first);
            screen.fault(&fault::with("AM-USE-01", how));
            Exit::Usage
        }
        _ => {
            screen.aside(text.trim_end());
            Exit::Usage
        }
    }
}

/// The table of commands, for completions and the reference.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Whether a word can only be meant as text, so that `-` stands for standard input.
fn is_stdin(word: &OsStr) -> bool {
    word == "-"
}

#[cfg(test)]
mod tests;
