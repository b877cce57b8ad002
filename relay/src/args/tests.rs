use super::*;

fn parse(line: &str) -> Result<Args, clap::Error> {
    Args::try_parse_from(line.split_whitespace())
}

#[test]
fn the_table_is_sound() {
    use clap::CommandFactory;
    Args::command().debug_assert();
}

#[test]
fn init_takes_several_organisations() {
    let args = parse("r init --org a b --org c --data /d --listen [::]:5000").unwrap();
    let What::Init(init) = args.what else {
        panic!("not init")
    };
    assert_eq!(init.orgs, ["a", "b", "c"]);
    assert_eq!(init.listen, "[::]:5000".parse().unwrap());
    assert_eq!(init.admin, ADMIN);
    assert_eq!(args.data, Some(PathBuf::from("/d")));
}

#[test]
fn what_is_missing_or_odd_is_a_usage_error() {
    for line in [
        "r",
        "r init",
        "r init --org a --listen here",
        "r init --org a --room-mib 1",
        "r trust",
        "r run now",
        "r run --break blind",
        "r status --admin x",
    ] {
        let why = parse(line).unwrap_err();
        assert_eq!(why.exit_code(), 2, "{line}");
    }
}

#[test]
fn no_argument_takes_a_secret() {
    use clap::CommandFactory;
    for command in Args::command().get_subcommands() {
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            assert!(!["key", "passphrase", "pin", "secret"].contains(&id), "{id}");
        }
    }
}
