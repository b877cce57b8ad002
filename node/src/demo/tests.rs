//! The flags, and what a run without its other programs says.

use clap::{Args, Command, FromArgMatches};

use super::{Flags, Kill, Radio};

fn parse(args: &[&str]) -> Result<Flags, clap::Error> {
    let command = Flags::augment_args(Command::new("demo").no_binary_name(true));
    Flags::from_arg_matches(&command.try_get_matches_from(args)?)
}

#[test]
fn flags_are_those_of_features_that_exist() {
    let plain = parse(&[]).unwrap();
    assert_eq!(
        (plain.link, plain.kill, plain.keep, plain.seed),
        (Radio::Tunnel, None, false, 7)
    );
    let all = parse(&[
        "--ecg", "x.dcm", "--link", "rural", "--seed", "9", "--keep", "--exit", "--kill", "relay",
    ]);
    let all = all.unwrap();
    assert_eq!(
        (all.link, all.kill, all.keep, all.seed),
        (Radio::Rural, Some(Kill::Relay), true, 9)
    );
    for unknown in [
        "--hands-on",
        "--no-open",
        "--lang=de",
        "--break=truth",
        "--link=wire",
        "--link=lora",
        "--kill=ambulance",
    ] {
        let refused = parse(&[unknown]).unwrap_err();
        assert_eq!(refused.exit_code(), 2, "{unknown}");
    }
}

#[test]
fn links_are_those_of_the_model() {
    assert_eq!(Radio::Tunnel.profile().rate_bps, 128_000);
    assert_eq!(Radio::Rural.profile().rate_bps, 64_000);
}
