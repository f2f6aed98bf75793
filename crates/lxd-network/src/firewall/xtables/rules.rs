//! Rules as data, and the scripts for `iptables-restore --noflush` that put them in the place of earlier ones. Pure.

use lxd_types::{Error, Result};

/// The tables, in the order in which they are changed.
const TABLES: [&str; 4] = ["raw", "mangle", "nat", "filter"];

/// The options that restoring understands of what saving prints of a chain of our own.
const EMPTY: &str = "- [0:0]";

/// Where a rule stands in its chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// Before those of others.
    First,
    /// Behind those of others; in chains of our own always.
    Last,
}

/// A rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    table: &'static str,
    chain: String,
    place: Place,
    text: String,
}

/// Rules of one family.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rules(Vec<Rule>);

/// Whose rules a script replaces.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owner {
    /// The comment of those in chains that are not ours.
    pub comment: String,
    /// The tables that they are in.
    pub tables: &'static [&'static str],
    /// The chains of our own, in the table `filter`.
    pub chains: Vec<String>,
}

impl Rules {
    /// Adds a rule of an owner to a chain that everybody has.
    ///
    /// # Errors
    /// A word cannot be written.
    pub fn add(
        &mut self,
        owner: &Owner,
        (table, chain, place): (&'static str, &str, Place),
        words: &str,
    ) -> Result<()> {
        let text = format!("{words} -m comment --comment {}", quoted(&owner.comment)?);
        self.0.push(Rule { table, chain: chain.to_owned(), place, text });
        Ok(())
    }

    /// Adds a rule to a chain of our own.
    pub fn own(&mut self, chain: &str, words: String) {
        self.0.push(Rule { table: "filter", chain: chain.to_owned(), place: Place::Last, text: words });
    }

    /// The rules that an owner has, as they were saved.
    pub fn saved(owner: &Owner, saved: &str) -> Self {
        let lines = lines(saved).filter(|line| line.is_of(owner) || line.is_in(owner));
        Self(
            lines
                .map(|line| Rule {
                    table: line.table,
                    chain: line.chain.to_owned(),
                    place: Place::Last,
                    text: line.rest.to_owned(),
                })
                .collect(),
        )
    }
}

/// A text as one word; nothing of it can end the line or the quotes.
///
/// # Errors
/// It has a character that cannot be quoted.
pub fn quoted(text: &str) -> Result<String> {
    match text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\')) {
        true => Err(Error::bad_request(format!("{text:?} cannot be part of a firewall rule"))),
        false => Ok(format!("\"{text}\"")),
    }
}

/// The script that puts rules in the place of those that owners have; empty when nothing changes.
pub fn script(saved: &str, owners: &[Owner], rules: &Rules) -> String {
    let mut script = String::new();
    for table in TABLES {
        let body = body(table, saved, owners, rules);
        if !body.is_empty() {
            script.push_str(&format!("*{table}\n{body}COMMIT\n"));
        }
    }
    script
}

fn body(table: &'static str, saved: &str, owners: &[Owner], rules: &Rules) -> String {
    let mut body = String::new();
    let rules: Vec<&Rule> = rules.0.iter().filter(|rule| rule.table == table).collect();
    let chains: Vec<&String> = owners.iter().flat_map(|owner| &owner.chains).collect();
    let filled = |chain: &str| rules.iter().any(|rule| rule.chain == chain);
    // Declaring a chain empties it.
    for chain in chains.iter().filter(|chain| filled(chain)) {
        body.push_str(&format!(":{chain} {EMPTY}\n"));
    }
    for line in lines(saved).filter(|line| line.table == table) {
        if owners.iter().any(|owner| line.is_of(owner)) {
            body.push_str(&format!("-D {} {}\n", line.chain, line.rest));
        }
    }
    let there = |chain: &str| saved.lines().any(|line| line.starts_with(&format!(":{chain} ")));
    for chain in chains.iter().filter(|chain| table == "filter" && !filled(chain) && there(chain)) {
        body.push_str(&format!("-F {chain}\n-X {chain}\n"));
    }
    for rule in rules.iter().filter(|rule| rule.place == Place::Last) {
        body.push_str(&format!("-A {} {}\n", rule.chain, rule.text));
    }
    // Each comes before the one that was put in before it.
    for rule in rules.iter().rev().filter(|rule| rule.place == Place::First) {
        body.push_str(&format!("-I {} {}\n", rule.chain, rule.text));
    }
    body
}

/// A rule in what `iptables-save` prints.
struct Line<'a> {
    table: &'static str,
    chain: &'a str,
    rest: &'a str,
}

impl Line<'_> {
    fn is_of(&self, owner: &Owner) -> bool {
        let comment = format!("--comment \"{}\" ", owner.comment);
        owner.tables.contains(&self.table) && format!("{} ", self.rest).contains(&comment)
    }

    fn is_in(&self, owner: &Owner) -> bool {
        owner.chains.iter().any(|chain| chain == self.chain)
    }
}

fn lines(saved: &str) -> impl Iterator<Item = Line<'_>> {
    let mut table = None;
    saved.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix('*') {
            table = TABLES.into_iter().find(|table| *table == name);
        }
        let (chain, rest) = line.strip_prefix("-A ")?.split_once(' ')?;
        Some(Line { table: table?, chain, rest })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner {
            comment: format!("generated for LXD network {name}"),
            tables: &["nat", "filter"],
            chains: vec![format!("lxd_acl_{name}")],
        }
    }

    const SAVED: &str = "# by somebody\n*nat\n:PREROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.0.0.0/24 -m comment --comment \
                         \"generated for LXD network a\" -j MASQUERADE\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n*filter\n:FORWARD \
                         ACCEPT [0:0]\n:lxd_acl_a - [0:0]\n-A FORWARD -i ab -m comment --comment \"generated for LXD network ab\" \
                         -j ACCEPT\n-A FORWARD -i a -m comment --comment \"generated for LXD network a\" -j lxd_acl_a\n-A \
                         lxd_acl_a -j DROP\nCOMMIT\n";

    #[test]
    fn what_an_owner_had_goes_and_nothing_else() {
        let script = script(SAVED, &[owner("a")], &Rules::default());
        assert_eq!(
            script,
            "*nat\n-D POSTROUTING -s 10.0.0.0/24 -m comment --comment \"generated for LXD network a\" -j \
             MASQUERADE\nCOMMIT\n*filter\n-D FORWARD -i a -m comment --comment \"generated for LXD network a\" -j \
             lxd_acl_a\n-F lxd_acl_a\n-X lxd_acl_a\nCOMMIT\n"
        );
        assert_eq!(super::script("", &[owner("a")], &Rules::default()), "");
    }

    #[test]
    fn new_rules_keep_their_order() {
        let mut rules = Rules::default();
        for interface in ["x", "y"] {
            let place = ("filter", "FORWARD", Place::First);
            rules.add(&owner("b"), place, &format!("-i {interface} -j ACCEPT")).unwrap();
        }
        rules.own("lxd_acl_b", "-j DROP".to_owned());
        let comment = "-m comment --comment \"generated for LXD network b\"";
        assert_eq!(
            script(SAVED, &[owner("b")], &rules),
            format!(
                "*filter\n:lxd_acl_b - [0:0]\n-A lxd_acl_b -j DROP\n-I FORWARD -i y -j ACCEPT {comment}\n-I FORWARD -i x -j \
                 ACCEPT {comment}\nCOMMIT\n"
            )
        );
    }

    #[test]
    fn what_was_saved_can_be_put_back() {
        let old = Rules::saved(&owner("a"), SAVED);
        let script = script("", &[owner("a")], &old);
        for line in
            ["-A POSTROUTING -s 10.0.0.0/24 ", ":lxd_acl_a ", "-A FORWARD -i a ", "-A lxd_acl_a -j DROP"]
        {
            assert!(script.contains(&format!("\n{line}")), "{script}");
        }
        assert!(!script.contains("-i ab"));
    }

    #[test]
    fn nothing_breaks_out_of_its_quotes() {
        assert_eq!(quoted("a b").unwrap(), "\"a b\"");
        for bad in ["a\nb", "a\"b", "a\\b", "a\0b"] {
            assert!(quoted(bad).is_err(), "{bad:?}");
        }
    }
}
