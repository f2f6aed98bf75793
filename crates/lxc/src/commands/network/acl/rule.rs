//! `lxc network acl rule`

use anyhow::{Result, anyhow, bail};
use lxd_api::network_acl::{NetworkAclPut, NetworkAclRule};
use serde_json::{Value, json};

use crate::cli::{Matches, Spec, switch};
use crate::cx::Cx;
use crate::keyvalue;

/// The group.
pub static SPEC: Spec =
    Spec { name: "rule", about: "Manage the rules of network ACLs", subs: &[&ADD, &REMOVE], ..Spec::NEW };

const ARGS: &str = "[<remote>:]<ACL> <direction> <key>=<value>...";

/// The keys of a rule.
const KEYS: &[&str] = &[
    "action",
    "source",
    "destination",
    "protocol",
    "source_port",
    "destination_port",
    "icmp_type",
    "icmp_code",
    "description",
    "state",
];

static ADD: Spec = Spec {
    name: "add",
    args: ARGS,
    about: "Put a new rule of a network ACL in place",
    examples: "  lxc network acl rule add web ingress action=allow protocol=tcp destination_port=80,443",
    count: (2, usize::MAX),
    run: Some(|cx, m| Box::pin(add(cx, m))),
    ..Spec::NEW
};

static REMOVE: Spec = Spec {
    name: "remove",
    args: ARGS,
    about: "Take a rule of a network ACL away",
    flags: &[switch("force", "Take all rules away that match")],
    count: (2, usize::MAX),
    run: Some(|cx, m| Box::pin(remove(cx, m))),
    ..Spec::NEW
};

async fn add(cx: &Cx, matches: &Matches) -> Result<()> {
    let words = words(matches.rest(2))?;
    super::entity(cx, matches)?
        .change::<NetworkAclPut>(cx, |acl| {
            let rules = rules(acl, matches.arg(1))?;
            rules.push(added(&words)?);
            Ok(())
        })
        .await
}

/// A rule made of words; it is enabled unless they say something else.
fn added(words: &[(String, String)]) -> Result<Value> {
    let mut rule = json!({"state": "enabled"});
    for (key, value) in words {
        rule[key] = json!(value);
    }
    Ok(serde_json::to_value(serde_json::from_value::<NetworkAclRule>(rule)?)?)
}

async fn remove(cx: &Cx, matches: &Matches) -> Result<()> {
    let words = words(matches.rest(2))?;
    let all = matches.is("force");
    super::entity(cx, matches)?
        .change::<NetworkAclPut>(cx, |acl| taken(rules(acl, matches.arg(1))?, &words, all))
        .await
}

/// Takes the rules away that have all these values.
fn taken(rules: &mut Vec<Value>, words: &[(String, String)], all: bool) -> Result<()> {
    let fits =
        |rule: &Value| words.iter().all(|(key, value)| rule[key].as_str().unwrap_or_default() == value);
    match rules.iter().filter(|rule| fits(rule)).count() {
        0 => bail!("No matching rule(s) found"),
        1 => {}
        _ if all => {}
        _ => bail!("Multiple rules match. Use --force to remove them all"),
    }
    rules.retain(|rule| !fits(rule));
    Ok(())
}

fn words(words: &[String]) -> Result<Vec<(String, String)>> {
    let pair = |word: &String| {
        let (key, value) =
            keyvalue::pair(word).map_err(|_| anyhow!("Invalid key=value configuration: {word}"))?;
        match KEYS.contains(&key) {
            true => Ok((key.to_owned(), value.to_owned())),
            false => Err(anyhow!("Unknown key: {key}")),
        }
    };
    words.iter().map(pair).collect()
}

fn rules<'a>(acl: &'a mut Value, direction: &str) -> Result<&'a mut Vec<Value>> {
    match direction {
        "ingress" | "egress" => {
            acl[direction].as_array_mut().ok_or_else(|| anyhow!("The server sent no list of rules"))
        }
        _ => bail!("The direction argument must be one of: ingress, egress"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        words(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn rules_come_and_go() {
        let first = added(&pairs("action=allow source=1.1.1.1")).unwrap();
        assert_eq!(first, json!({"action": "allow", "source": "1.1.1.1", "state": "enabled"}));
        let second = added(&pairs("action=allow state=logged")).unwrap();
        let mut rules = vec![first, second];
        let refused =
            |rules: &mut Vec<Value>, text: &str| taken(rules, &pairs(text), false).unwrap_err().to_string();
        assert_eq!(refused(&mut rules, "action=drop"), "No matching rule(s) found");
        assert_eq!(
            refused(&mut rules, "action=allow"),
            "Multiple rules match. Use --force to remove them all"
        );
        taken(&mut rules, &pairs("state=logged"), false).unwrap();
        assert_eq!(rules.len(), 1);
        taken(&mut rules, &[], true).unwrap();
        assert!(rules.is_empty());
    }

    #[test]
    fn words_are_checked() {
        let text = |word: &str| words(&[word.to_owned()]).unwrap_err().to_string();
        assert_eq!(text("action"), "Invalid key=value configuration: action");
        assert_eq!(text("foo=x"), "Unknown key: foo");
        let mut acl = json!({"ingress": []});
        assert_eq!(
            rules(&mut acl, "x").unwrap_err().to_string(),
            "The direction argument must be one of: ingress, egress"
        );
    }
}
