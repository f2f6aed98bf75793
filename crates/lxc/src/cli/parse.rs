//! Words to commands and flags: flags anywhere, `--flag value`, `--flag=value`, `-fvalue`, `-abc`, `--`.

use super::spec::{Flag, GLOBAL, Kind, Spec};
use super::{Matches, help};

/// What the command line asks for.
pub enum Parsed {
    /// Run this.
    Run(Matches),
    /// Print this help and end well.
    Help(String),
    /// Print a usage text on standard error and end well (a group without a command).
    Usage(String),
    /// The line is wrong: help for standard output, error text.
    Wrong(String, String),
}

/// Parses the words behind the program name.
pub fn parse(root: &'static Spec, words: &[String]) -> Parsed {
    let mut matches = Matches::of(root, &[root.name]);
    let (asked, words) = match words.split_first() {
        Some((first, rest)) if first == "help" => (true, rest),
        _ => (false, words),
    };
    match fill(&mut matches, words) {
        Ok(()) if asked => Parsed::Help(help::help(&matches)),
        Ok(()) => check(matches),
        Err(text) => Parsed::Wrong(String::new(), text),
    }
}

fn fill(matches: &mut Matches, words: &[String]) -> Result<(), String> {
    let rest = find_command(matches, words);
    let mut words = rest.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            matches.args.extend(words.by_ref());
        } else if let Some(name) = word.strip_prefix("--") {
            long_flag(matches, name, &mut words)?;
        } else if word.len() > 1 && word.starts_with('-') {
            short_flags(matches, &word[1..], &mut words)?;
        } else {
            matches.args.push(word);
        }
    }
    Ok(())
}

/// Follows command words down the tree, past flags; returns the other words.
fn find_command(matches: &mut Matches, words: &[String]) -> Vec<String> {
    let mut rest = Vec::new();
    let mut index = 0;
    while let Some(word) = words.get(index) {
        if word == "--" {
            break;
        }
        if word.starts_with('-') && word.len() > 1 {
            rest.push(word.clone());
            if takes_next(matches.spec, word) && index + 1 < words.len() {
                index += 1;
                rest.push(words[index].clone());
            }
        } else if let Some(sub) = matches.spec.sub(word) {
            matches.spec = sub;
            matches.path.push(sub.name);
            if sub.subs.is_empty() {
                index += 1;
                break;
            }
        } else {
            break;
        }
        index += 1;
    }
    rest.extend_from_slice(&words[index..]);
    rest
}

/// True when the value of a flag is the next word.
fn takes_next(spec: &Spec, word: &str) -> bool {
    let wants = |flag: &Flag| !matches!(flag.kind, Kind::Bool | Kind::Optional(_));
    if let Some(name) = word.strip_prefix("--") {
        return !name.contains('=') && find_long(spec, name).is_some_and(|flag| wants(&flag));
    }
    word.len() == 2 && word.chars().nth(1).and_then(|c| find_short(spec, c)).is_some_and(|flag| wants(&flag))
}

fn all(spec: &Spec) -> impl Iterator<Item = &'static Flag> {
    spec.flags.iter().chain(GLOBAL)
}

fn find_long(spec: &Spec, name: &str) -> Option<Flag> {
    all(spec).find(|flag| flag.long == name).copied()
}

fn find_short(spec: &Spec, letter: char) -> Option<Flag> {
    all(spec).find(|flag| flag.short == Some(letter)).copied()
}

fn long_flag(
    matches: &mut Matches,
    text: &str,
    words: &mut impl Iterator<Item = String>,
) -> Result<(), String> {
    let (name, given) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v.to_owned())));
    let flag = find_long(matches.spec, name).ok_or_else(|| format!("unknown flag: --{name}"))?;
    let value = match (flag.kind, given) {
        (_, Some(value)) => value,
        (Kind::Bool, None) => "true".to_owned(),
        (Kind::Optional(default), None) => default.to_owned(),
        (_, None) => words.next().ok_or_else(|| format!("flag needs an argument: --{name}"))?,
    };
    store(matches, flag, value)
}

fn short_flags(
    matches: &mut Matches,
    letters: &str,
    words: &mut impl Iterator<Item = String>,
) -> Result<(), String> {
    let mut rest = letters;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        let flag = find_short(matches.spec, letter)
            .ok_or_else(|| format!("unknown shorthand flag: '{letter}' in -{letters}"))?;
        let value = match flag.kind {
            Kind::Bool | Kind::Optional(_) => match rest.strip_prefix('=') {
                Some(value) => {
                    let value = value.to_owned();
                    rest = "";
                    value
                }
                None => if let Kind::Optional(default) = flag.kind { default } else { "true" }.to_owned(),
            },
            _ if !rest.is_empty() => {
                let value = rest.strip_prefix('=').unwrap_or(rest).to_owned();
                rest = "";
                value
            }
            _ => words.next().ok_or_else(|| format!("flag needs an argument: '{letter}' in -{letters}"))?,
        };
        store(matches, flag, value)?;
    }
    Ok(())
}

fn store(matches: &mut Matches, flag: Flag, value: String) -> Result<(), String> {
    let named = || match flag.short {
        Some(letter) => format!("\"-{letter}, --{}\"", flag.long),
        None => format!("\"--{}\"", flag.long),
    };
    let problem = match flag.kind {
        Kind::Bool if !is_bool(&value) => Some("ParseBool"),
        Kind::Number if value.parse::<i64>().is_err() => Some("ParseInt"),
        Kind::Unsigned if value.parse::<u32>().is_err() => Some("ParseUint"),
        _ => None,
    };
    if let Some(function) = problem {
        return Err(format!(
            "invalid argument {value:?} for {} flag: strconv.{function}: parsing {value:?}: invalid syntax",
            named()
        ));
    }
    let value = match flag.kind {
        Kind::Bool if matches!(value.as_str(), "0" | "f" | "F" | "false" | "FALSE" | "False") => {
            "false".to_owned()
        }
        _ => value,
    };
    matches.set(flag.long, flag.kind, value);
    Ok(())
}

fn is_bool(value: &str) -> bool {
    matches!(
        value,
        "1" | "t" | "T" | "true" | "TRUE" | "True" | "0" | "f" | "F" | "false" | "FALSE" | "False"
    )
}

/// Help, groups without a command, and the number of arguments.
fn check(matches: Matches) -> Parsed {
    if matches.is("help") || matches.is("version") {
        return if matches.is("version") && !matches.is("help") {
            Parsed::Help(format!("{}\n", lxd_api::API_LEVEL))
        } else {
            Parsed::Help(help::help(&matches))
        };
    }
    let root = matches.path.len() == 1;
    if matches.spec.run.is_none() {
        let named = matches.path.join(" ");
        return match matches.args.first() {
            Some(word) => Parsed::Wrong(String::new(), format!("unknown command {word:?} for {named:?}")),
            None if root => Parsed::Help(help::help(&matches)),
            None => Parsed::Usage(help::usage(&matches)),
        };
    }
    let (least, most) = matches.spec.count;
    let count = matches.args.len();
    if count < least || count > most {
        let text = help::help(&matches);
        return if count == 0 {
            Parsed::Help(text)
        } else {
            Parsed::Wrong(text, "Invalid number of arguments".into())
        };
    }
    Parsed::Run(matches)
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Flag, list, number, switch, value};
    use super::*;

    static LEAF: Spec = Spec {
        name: "leaf",
        aliases: &["lf"],
        flags: &[
            switch("all", "").short('a'),
            value("format", "").short('f').or("table"),
            list("config", "").short('c'),
            number("timeout", "").or("-1"),
            Flag { kind: Kind::Optional("console"), ..value("console", "") },
        ],
        count: (1, 2),
        run: Some(|_, _| Box::pin(async { Ok(()) })),
        ..Spec::NEW
    };
    static ROOT: Spec = Spec { name: "lxc", subs: &[&LEAF], ..Spec::NEW };

    fn ran(line: &str) -> Matches {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match parse(&ROOT, &words) {
            Parsed::Run(matches) => matches,
            Parsed::Wrong(_, error) => panic!("{line}: {error}"),
            _ => panic!("{line}: help"),
        }
    }

    fn wrong(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match parse(&ROOT, &words) {
            Parsed::Wrong(_, error) => error,
            _ => panic!("{line} is accepted"),
        }
    }

    #[test]
    fn flags_anywhere() {
        let m = ran("-q leaf x -c a=b --config=c=d -fcsv -a --timeout 3");
        assert!(m.is("quiet") && m.is("all") && !m.given("console"));
        assert_eq!(
            (m.list("config"), m.value("format"), m.number("timeout")),
            (&["a=b".into(), "c=d".into()][..], "csv", 3)
        );
        assert_eq!(m.args, ["x"]);
        assert_eq!(ran("lf x").value("format"), "table");
        assert_eq!(ran("leaf --console x").value("console"), "console");
        assert_eq!(ran("leaf --console=vga x").value("console"), "vga");
        assert_eq!(ran("leaf x -- -a").args, ["x", "-a"]);
        assert!(!ran("leaf --all=false x").is("all"));
    }

    #[test]
    fn mistakes() {
        assert_eq!(wrong("nosuch"), "unknown command \"nosuch\" for \"lxc\"");
        assert_eq!(wrong("leaf --nosuch"), "unknown flag: --nosuch");
        assert_eq!(wrong("leaf -ax"), "unknown shorthand flag: 'x' in -ax");
        assert_eq!(wrong("leaf --format"), "flag needs an argument: --format");
        assert_eq!(wrong("leaf x y z"), "Invalid number of arguments");
        assert!(wrong("leaf x --timeout y").contains("parsing \"y\": invalid syntax"));
    }
}
