//! The name that somebody probably meant.

/// The nearest of `names`, if it is near: at most a third of its letters differ. Distance is that of
/// Levenshtein (1966) with a swap of neighbours as one step, since that is what fingers do.
pub fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let word: Vec<char> = word
        .chars()
        .flat_map(char::to_lowercase)
        .take(WORD_CHARS_MAX)
        .collect();
    let measured = names.iter().map(|name| (distance(&word, name), *name));
    let (steps, name) = measured.min()?;
    (steps * 3 <= name.len().max(3)).then_some(name)
}

/// Longer words are no typing errors.
const WORD_CHARS_MAX: usize = 64;

fn distance(word: &[char], name: &str) -> usize {
    let name: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=name.len()).collect();
    for (i, a) in word.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in name.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            let mut steps = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == name[j - 1] && word[i - 1] == *b {
                steps = steps.min(before[j - 1] + 1);
            }
            row.push(steps);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_steps_of_fingers() {
        for (word, name, steps) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("engine", "engine", 0),
            ("engnie", "engine", 1),
            ("engin", "engine", 1),
            ("enginee", "engine", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(
                distance(&word.chars().collect::<Vec<_>>(), name),
                steps,
                "{word} {name}"
            );
        }
    }

    #[test]
    fn only_what_is_near_is_offered() {
        let names = ["engine", "relays", "listen", "carry_mib"];
        assert_eq!(nearest("engin", &names), Some("engine"));
        assert_eq!(nearest("Relay", &names), Some("relays"));
        assert_eq!(nearest("lisetn", &names), Some("listen"));
        assert_eq!(nearest("carry_mb", &names), Some("carry_mib"));
        assert_eq!(nearest("passphrase", &names), None);
        assert_eq!(nearest("", &names), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
