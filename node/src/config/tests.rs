use super::*;
use std::fs;

fn card(name: &str) -> String {
    format!("{name} relay.example:7443 {}", "a7".repeat(32))
}

/// Loads with this file, these variables and flags.
fn load(file: &str, variables: &[(&str, &str)], flags: &Flags) -> Result<Config, Fault> {
    let data = tempfile::tempdir().unwrap();
    if !file.is_empty() {
        fs::write(data.path().join(FILE), file).unwrap();
    }
    let environment = |name: &str| {
        let found = variables.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::load(data.path(), &environment, flags)
}

#[test]
fn without_anything_the_program_decides() {
    let config = load("", &[], &Flags::default()).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.carry_mib.value, 64);
    assert!(
        config
            .rows()
            .iter()
            .all(|(_, _, origin)| **origin == Origin::Default)
    );
}

#[test]
fn each_layer_is_over_the_one_before() {
    let file = "engine = \"redb\"\ncarry_mib = 100\nlisten = \"0.0.0.0:1\"\n";
    let file_only = load(file, &[], &Flags::default()).unwrap();
    assert_eq!(file_only.engine.value, EngineKind::Redb);
    assert!(matches!(&file_only.engine.origin, Origin::File(path) if path.ends_with(FILE)));
    let variables = [("AIDMESH_CARRY_MIB", "200"), ("AIDMESH_LISTEN", "0.0.0.0:2")];
    let flags = Flags {
        listen: Some("[::1]:3".into()),
        ..Flags::default()
    };
    let all = load(file, &variables, &flags).unwrap();
    assert_eq!(all.engine.value, EngineKind::Redb);
    assert_eq!(all.carry_mib.value, 200);
    assert_eq!(all.carry_mib.origin, Origin::Variable("AIDMESH_CARRY_MIB"));
    assert_eq!(all.listen.value, Some("[::1]:3".parse().unwrap()));
    assert_eq!(all.listen.origin, Origin::Flag("--listen"));
    let empty = load(file, &[("AIDMESH_ENGINE", " ")], &Flags::default()).unwrap();
    assert_eq!(empty.engine.value, EngineKind::Redb, "set to nothing is not set");
}

#[test]
fn relays_come_as_their_cards() {
    let file = format!("relays = [{:?}, {:?}]", card("A"), card("B"));
    let config = load(&file, &[], &Flags::default()).unwrap();
    assert_eq!(config.relays.value.len(), 2);
    let text = format!("{}\n\n {}\n", card("C"), card("D"));
    let config = load(&file, &[("AIDMESH_RELAYS", &text)], &Flags::default()).unwrap();
    assert_eq!(config.relays.value[1].name, "D");
    let flags = Flags {
        relays: vec![card("E")],
        ..Flags::default()
    };
    let config = load(&file, &[("AIDMESH_RELAYS", &text)], &flags).unwrap();
    assert_eq!(
        (config.relays.value.len(), &*config.relays.value[0].name),
        (1, "E")
    );
    let many = format!(
        "relays = [{}]",
        format!("{:?},", card("R")).repeat(RELAYS_MAX + 1)
    );
    assert_eq!(load(&many, &[], &Flags::default()).unwrap_err().code, "AM-CFG-03");
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let fault = load("engin = \"sled\"", &[], &Flags::default()).unwrap_err();
    assert_eq!(fault.code, "AM-CFG-02");
    assert!(
        fault.what.contains("\"engin\"") && fault.what.contains("did you mean engine?"),
        "{}",
        fault.what
    );
    let fault = load("passphrase = \"x\"", &[], &Flags::default()).unwrap_err();
    assert!(
        fault.code == "AM-CFG-02" && !fault.what.contains("mean"),
        "{}",
        fault.what
    );
}

#[test]
fn a_value_that_does_not_fit_says_where_it_stands() {
    for file in [
        "engine = \"rocks\"",
        "engine = 3",
        "relays = \"North-1\"",
        "relays = [1]",
        "relays = [\"North-1 relay\"]",
        "listen = \"somewhere\"",
        "carry_mib = -1",
        "carry_mib = 1048577",
        "carry_mib = \"64\"",
    ] {
        let fault = load(file, &[], &Flags::default()).unwrap_err();
        assert!(
            fault.code == "AM-CFG-03" && fault.what.contains("config.toml"),
            "{file}: {}",
            fault.what
        );
    }
    let fault = load("", &[("AIDMESH_ENGINE", "rocks")], &Flags::default()).unwrap_err();
    assert!(
        fault.what.contains("environment AIDMESH_ENGINE"),
        "{}",
        fault.what
    );
    let flags = Flags {
        carry_mib: Some("much".into()),
        ..Flags::default()
    };
    let fault = load("", &[], &flags).unwrap_err();
    assert!(fault.what.contains("flag --carry-mib"), "{}", fault.what);
}

#[test]
fn what_is_no_file_of_settings_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join(FILE);
    let code = || {
        Config::load(data.path(), &|_| None, &Flags::default())
            .unwrap_err()
            .code
    };
    fs::write(&path, "engine = ").unwrap();
    assert_eq!(code(), "AM-CFG-01");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(code(), "AM-CFG-01");
    fs::write(&path, "#".repeat(FILE_BYTES_MAX as usize + 1)).unwrap();
    assert_eq!(code(), "AM-CFG-01");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(code(), "AM-CFG-01");
}

#[test]
fn the_written_file_changes_nothing_and_its_examples_fit() {
    let data = tempfile::tempdir().unwrap();
    let path = write_new(data.path()).unwrap();
    let load = || Config::load(data.path(), &|_| None, &Flags::default());
    assert_eq!(load().unwrap(), Config::default());
    let text = fs::read_to_string(&path).unwrap();
    // the lines that are commented out without a space are those to use
    let used: Vec<&str> = text
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|l| !l.starts_with(' '))
                .unwrap_or("")
        })
        .collect();
    fs::write(&path, used.join("\n").replace("KEY", &"a7".repeat(32))).unwrap();
    let config = load().unwrap();
    assert!(
        config
            .rows()
            .iter()
            .all(|(_, _, origin)| **origin == Origin::File(path.clone()))
    );
    assert_eq!(write_new(data.path()).unwrap_err().code, "AM-CFG-04");
    assert_eq!(
        write_new(&data.path().join("no")).unwrap_err().code,
        "AM-STORE-01"
    );
}

#[test]
fn variables_that_look_like_settings_are_noticed() {
    let names = [
        "AIDMESH_ENGIN",
        "AIDMESH_ENGINE",
        "PATH",
        "AIDMESH_DATA",
        "AIDMESH_TEST",
    ];
    let odd = odd_variables(names.into_iter());
    assert_eq!(
        odd,
        [("AIDMESH_ENGIN", Some("AIDMESH_ENGINE")), ("AIDMESH_TEST", None)]
    );
}
