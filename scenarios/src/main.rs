//! The runner of the simulator. `aidmesh-scenarios --help` lists what it can do; exit 0 means that no
//! rule was broken, 1 that one was, 2 that the command line or a file was wrong.

use aidmesh_core::limits;
use aidmesh_scenarios::bench_group;
use aidmesh_scenarios::bench_sync;
use aidmesh_scenarios::planted;
use aidmesh_scenarios::region::{self, Size};
use aidmesh_scenarios::report;
use aidmesh_scenarios::storm::{self, Outcome, Setup, Suites};
use aidmesh_scenarios::story::{self, LIBRARY, Recording, Run, Story};
use aidmesh_scenarios::trace::Trace;
use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Simulates Aidmesh: devices, bad links, faults and liars on a virtual clock.
#[derive(Parser)]
#[command(name = "aidmesh-scenarios", version)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Plays named scenarios.
    Run {
        /// Name of a scenario; `list` shows them.
        #[arg(required_unless_present_any = ["all", "file"])]
        name: Option<String>,
        /// All of them.
        #[arg(long, conflicts_with = "name")]
        all: bool,
        /// With --all: without those that take minutes.
        #[arg(long, requires = "all")]
        short: bool,
        /// A scenario that is not in the library, from its file.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "all"])]
        file: Option<PathBuf>,
        /// In place of the scenario's seed.
        #[arg(long)]
        seed: Option<u64>,
        /// The ECG that scenarios send: .hea, .mat, .dat, .dcm or a WFDB name without ending; else invented.
        #[arg(long, value_name = "FILE")]
        ecg: Option<PathBuf>,
        /// One line for each event.
        #[arg(long)]
        trace: bool,
        /// One JSON object for each scenario.
        #[arg(long)]
        json: bool,
        /// Of `region`: only the first N districts; with --all 1 unless given.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=region::DISTRICTS))]
        districts: Option<u64>,
    },
    /// Random runs, one for each seed.
    Storm {
        /// How many seeds.
        #[arg(long, default_value_t = 50)]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 1)]
        first_seed: u64,
        /// Only this seed, up to its first violation.
        #[arg(long, value_name = "SEED", conflicts_with = "seeds")]
        replay: Option<u64>,
        /// With --replay: one line for each event.
        #[arg(long, requires = "replay")]
        trace: bool,
        /// Suite of all seeds.
        #[arg(long, value_enum, default_value_t = Suites::Mixed)]
        suite: Suites,
        /// Halves part and members change most of the time.
        #[arg(long)]
        restless: bool,
        /// Nothing but the JSON line.
        #[arg(long)]
        json: bool,
    },
    /// Runs the planted bugs; each must be caught.
    Planted {
        /// Nothing but JSON lines.
        #[arg(long)]
        json: bool,
        /// Only this one.
        #[arg(long)]
        name: Option<String>,
        /// How many seeds each may survive at most.
        #[arg(long, default_value_t = planted::SEEDS_MAX)]
        seeds: u64,
        /// In place of the first seed of each.
        #[arg(long)]
        first_seed: Option<u64>,
    },
    /// Measures what a part costs beside a peer and a bound.
    Bench {
        /// What to measure.
        #[arg(value_enum)]
        what: Bench,
        /// Nothing but JSON lines.
        #[arg(long)]
        json: bool,
        /// Of `group`: numbers of members, 2 to 128 each.
        #[arg(long, value_name = "N,N", value_delimiter = ',', value_parser = members())]
        members: Option<Vec<u16>>,
    },
    /// Names of the scenarios, with one sentence each.
    List,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// Bytes until two devices know what each lacks, beside negentropy.
    Sync,
    /// Bytes and times of a thread's keys, beside those of the bare operations.
    Group,
}

fn members() -> RangedU64ValueParser<u16> {
    RangedU64ValueParser::new().range(2..=limits::MEMBERS as u64)
}

const NO_MEMBERS: &str = "--members is for `bench group`";
const NO_ECG: &str = "region invents an ECG for each patient; --ecg is for scenarios";
const NO_DISTRICTS: &str = "only region has districts";

fn main() -> ExitCode {
    match done(Cli::parse().what) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            // nothing can be done if stderr is closed
            let _ = writeln!(io::stderr(), "aidmesh-scenarios: {why}");
            ExitCode::from(2)
        }
    }
}

type Done = Result<bool, Box<dyn std::error::Error>>;

fn done(what: What) -> Done {
    match what {
        What::Run {
            name,
            all,
            short,
            file,
            seed,
            ecg,
            trace,
            json,
            districts,
        } => match name.filter(|_| !all) {
            Some(name) if name == region::NAME && ecg.is_some() => Err(NO_ECG.into()),
            Some(name) if name == region::NAME => play_region(seed, districts, trace, json),
            Some(_) if districts.is_some() => Err(NO_DISTRICTS.into()),
            None if file.is_none() => {
                let list = stories(None, None).map(|list| without_long(list, short));
                list.and_then(|list| all_of_them(list, (seed, ecg), (trace, json), districts))
            }
            name => stories(name, file).and_then(|list| run(list, seed, ecg, trace, json)),
        },
        What::Storm {
            replay: Some(seed),
            trace,
            suite,
            restless,
            ..
        } => replay(seed, Setup::of(suite, restless), trace),
        What::Storm {
            seeds,
            first_seed,
            suite,
            restless,
            json,
            ..
        } => storms((first_seed, seeds), Setup::of(suite, restless), json),
        What::Planted {
            json,
            name,
            seeds,
            first_seed,
        } => plant(json, name, seeds, first_seed),
        What::Bench { what, members, .. } if what != Bench::Group && members.is_some() => {
            Err(NO_MEMBERS.into())
        }
        What::Bench {
            what: Bench::Sync,
            json,
            ..
        } => bench_sync(json),
        What::Bench { json, members, .. } => bench_group(json, members),
        What::List => list(),
    }
}

fn without_long(mut list: Vec<(String, Story)>, short: bool) -> Vec<(String, Story)> {
    list.retain(|(_, story)| !(short && story.long));
    list
}

fn all_of_them(
    list: Vec<(String, Story)>,
    (seed, ecg): (Option<u64>, Option<PathBuf>),
    (trace, json): (bool, bool),
    districts: Option<u64>,
) -> Done {
    let fine = run(list, seed, ecg, trace, json)?;
    // the whole region takes minutes; a district of it finds what a scenario of two devices cannot
    Ok(play_region(seed, districts.or(Some(1)), trace, json)? && fine)
}

fn play_region(seed: Option<u64>, districts: Option<u64>, trace: bool, json: bool) -> Done {
    let whole = Size::default();
    let size = Size {
        districts: districts.unwrap_or(whole.districts),
        ..whole
    };
    let told: fn() -> Trace = || lines(true);
    let report = region::run(
        seed.unwrap_or(region::SEED),
        size,
        (trace && !json).then_some(told),
    );
    let mut out = io::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        let word = if report.violations == 0 {
            "ok      "
        } else {
            "FAILED  "
        };
        writeln!(out, "{word}{}: {}", region::NAME, region::ABOUT)?;
        report.tell(&mut out)?;
    }
    if let Some(broken) = &report.first_violation {
        let region::Broken {
            district,
            invariant,
            what,
            at_s,
        } = broken;
        let mut err = io::stderr();
        writeln!(
            err,
            "district {district} at {at_s} s breaks a rule: {invariant}: {what}"
        )?;
        let command = "cargo run --release -p aidmesh-scenarios -- run region";
        let (seed, upto) = (report.seed, district + 1);
        writeln!(err, "replay: {command} --seed {seed} --districts {upto} --trace")?;
    }
    Ok(report.violations == 0)
}

/// The scenario of a file or of a name, else all of the library.
fn stories(
    name: Option<String>,
    file: Option<PathBuf>,
) -> Result<Vec<(String, Story)>, Box<dyn std::error::Error>> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        return Ok(vec![(path.display().to_string(), toml::from_str(&text)?)]);
    }
    let names: Vec<String> = match name {
        Some(name) => vec![name],
        None => LIBRARY.iter().map(|(name, _)| (*name).to_owned()).collect(),
    };
    let mut list = Vec::new();
    for name in names {
        let unknown = || format!("no scenario is called {name}; `list` shows all");
        let story = story::named(&name).ok_or_else(unknown)??;
        list.push((name, story));
    }
    Ok(list)
}

fn run(
    stories: Vec<(String, Story)>,
    seed: Option<u64>,
    ecg: Option<PathBuf>,
    trace: bool,
    json: bool,
) -> Done {
    let ecg = ecg.map(|path| Recording::read(&path)).transpose()?;
    let mut fine = true;
    for (name, story) in stories {
        let run = Run {
            seed,
            ecg: ecg.clone(),
            trace: lines(trace && !json),
            flaws: Default::default(),
        };
        let outcome = story::run(&story, run)?;
        fine &= outcome.violation.is_none();
        told(&name, &story, &outcome, json)?;
    }
    Ok(fine)
}

fn bench_group(json: bool, members: Option<Vec<u16>>) -> Done {
    let members = members.map(|all| all.into_iter().map(usize::from).collect());
    let members = members.unwrap_or(bench_group::MEMBERS.to_vec());
    let (bare, all) = bench_group::run(&members)?;
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::json!({ "bare": bare }))?;
        for costs in &all {
            writeln!(out, "{}", serde_json::to_string(costs)?)?;
        }
        return Ok(true);
    }
    bare.tell(&mut out)?;
    all.iter().try_for_each(|costs| costs.tell(&mut out))?;
    Ok(true)
}

fn bench_sync(json: bool) -> Done {
    let results = bench_sync::run().ok_or("two machines did not exchange what they should")?;
    let mut out = io::stdout().lock();
    for result in &results {
        if json {
            writeln!(out, "{}", serde_json::to_string(result)?)?;
        } else {
            let sets = &result.sets;
            let what = format!(
                "{:?}, {} of {} missing",
                sets.pattern, sets.missing, sets.messages
            );
            writeln!(out, "{what}, {} devices, first contact", sets.authors)?;
            writeln!(
                out,
                "  HAVE, content logs, both ways  {:>8} B",
                result.have_bytes()
            )?;
            let control: usize = result.have_control_bytes.iter().sum();
            writeln!(out, "  HAVE, control logs             {control:>8} B")?;
            writeln!(
                out,
                "  HELLO, THREADS                 {:>8} B, {} B",
                result.hello_bytes, result.threads_bytes
            )?;
            writeln!(
                out,
                "  negentropy 0.5                 {:>8} B",
                result.negentropy_bytes
            )?;
            writeln!(
                out,
                "  bound                          {:>8.0} B",
                result.bound_bytes
            )?;
            let (ours, theirs) = (result.have_round_trips, result.negentropy_round_trips);
            writeln!(
                out,
                "  round trips of HAVE            {ours:>8} (negentropy {theirs})"
            )?;
        }
    }
    Ok(results.iter().all(|r| r.exact))
}

fn told(name: &str, story: &Story, outcome: &Outcome, json: bool) -> io::Result<()> {
    let mut out = io::stdout();
    if json {
        let mut line = serde_json::json!({
            "schema": "aidmesh.scenario/1",
            "name": name,
            "seed": outcome.seed,
            "ok": outcome.violation.is_none(),
            "trace_hash": outcome.trace_hash,
            "virtual_s": outcome.virtual_us / 1_000_000,
            "violation": outcome.violation.as_ref().map(|v| format!("{}: {}", v.invariant, v.what)),
        });
        line["figures"] = serde_json::to_value(&outcome.figures)?;
        return writeln!(out, "{line}");
    }
    match &outcome.violation {
        None => {
            writeln!(out, "ok      {name}: {}", story.about)?;
            match &outcome.figures {
                Some(figures) => writeln!(out, "        {figures}"),
                None => Ok(()),
            }
        }
        Some(v) => {
            writeln!(out, "FAILED  {name}: {}: {}", v.invariant, v.what)?;
            let seed = outcome.seed;
            writeln!(
                out,
                "replay: cargo run --release -p aidmesh-scenarios -- run {name} --seed {seed} --trace"
            )
        }
    }
}

fn storms((first, seeds): (u64, u64), setup: Setup, json: bool) -> Done {
    let report = report::storm(first, seeds, setup);
    let mut out = io::stdout();
    for found in report.found.iter().filter(|_| !json) {
        let report::First {
            seed,
            invariant,
            what,
            at_s,
            replay,
        } = found;
        writeln!(out, "seed {seed} at {at_s} s breaks a rule: {invariant}: {what}")?;
        writeln!(out, "replay: {replay}")?;
    }
    writeln!(out, "{}", serde_json::to_string(&report)?)?;
    if let Some(first) = report.first_violation.as_ref().filter(|_| json) {
        writeln!(io::stderr(), "replay: {}", first.replay)?;
    }
    Ok(report.violations == 0)
}

fn replay(seed: u64, setup: Setup, trace: bool) -> Done {
    let outcome = storm::run(seed, setup, lines(trace));
    let mut out = io::stdout();
    match &outcome.violation {
        None => writeln!(out, "seed {seed}: no rule broken, trace {}", outcome.trace_hash)?,
        Some(v) => {
            let at_s = v.at_us / 1_000_000;
            writeln!(
                out,
                "seed {seed} at {at_s} s breaks a rule: {}: {}",
                v.invariant, v.what
            )?;
        }
    }
    Ok(outcome.violation.is_none())
}

fn plant(json: bool, only: Option<String>, seeds: u64, first_seed: Option<u64>) -> Done {
    let mut all_caught = true;
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut bugs = planted::all();
    bugs.retain(|plant| only.as_deref().is_none_or(|only| only == plant.name));
    for plant in &mut bugs {
        plant.from = first_seed.unwrap_or(plant.from);
    }
    for caught in planted::hunt_all(&bugs, seeds) {
        all_caught &= caught.caught;
        writeln!(io::stdout(), "{}", serde_json::to_string(&caught)?)?;
    }
    std::panic::set_hook(hook);
    if !json {
        let verdict = if all_caught {
            "all caught"
        } else {
            "A PLANTED BUG SURVIVED"
        };
        writeln!(io::stderr(), "{verdict}")?;
    }
    Ok(all_caught)
}

fn list() -> Done {
    for (name, _) in LIBRARY {
        let story = story::named(name).ok_or("the library lists its own names")??;
        writeln!(io::stdout(), "{name:<22} {}", story.about)?;
    }
    writeln!(io::stdout(), "{:<22} {}", region::NAME, region::ABOUT)?;
    Ok(true)
}

fn lines(wanted: bool) -> Trace {
    match wanted {
        // a closed pipe ends the reading, not the run
        true => Trace::telling(Box::new(|line| drop(writeln!(io::stdout(), "{line}")))),
        false => Trace::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERFORMANCE: &str = include_str!("../../docs/reference/performance.md");
    const SIMULATOR: &str = include_str!("../../docs/reference/simulator.md");
    const ARCHITECTURE: &str = include_str!("../../docs/ARCHITECTURE.md");

    /// Command lines of this program on a page, without what starts it.
    fn commands(page: &str) -> Vec<&str> {
        let after = page.split("cargo run --release -p aidmesh-scenarios -- ").skip(1);
        after.filter_map(|rest| rest.split(['\n', '`']).next()).collect()
    }

    fn parsed(command: &str) -> What {
        let words = std::iter::once("aidmesh-scenarios").chain(command.split(' '));
        Cli::try_parse_from(words)
            .unwrap_or_else(|why| panic!("{command}: {why}"))
            .what
    }

    #[test]
    fn commands_on_pages_are_understood() {
        for page in [PERFORMANCE, SIMULATOR, ARCHITECTURE] {
            let commands = commands(page);
            assert!(!commands.is_empty());
            for command in commands {
                parsed(command);
            }
        }
    }

    #[test]
    fn the_short_form_on_the_page_of_performance_runs() {
        let short = |command: &&&str| command.contains("--members");
        let all = commands(PERFORMANCE);
        let short: Vec<_> = all.iter().filter(short).collect();
        assert!(!short.is_empty());
        for command in short {
            assert!(done(parsed(command)).unwrap(), "{command}");
        }
    }

    #[test]
    fn members_belong_to_the_bench_of_groups() {
        assert!(done(parsed("bench sync --members 2")).is_err());
        for wrong in ["bench group --members 1", "bench group --members 129", "bench"] {
            let words = std::iter::once("aidmesh-scenarios").chain(wrong.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{wrong}");
        }
    }
}
