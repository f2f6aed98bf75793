//! Rules of other programs that keep packets of networks from passing: found in the host's rules as `nft list ruleset` and
//! `iptables-save` print them.

/// Whose rules they are, as far as it shows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Owner {
    /// Docker.
    Docker,
    /// ufw.
    Ufw,
    /// firewalld.
    Firewalld,
    /// Somebody.
    Unknown,
}

/// A chain that drops what nobody lets pass.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Clash {
    /// Whose chain it is.
    pub owner: Owner,
    /// Family and table, and the chain.
    pub chain: String,
    /// Forwarded packets, else those for the host.
    pub forwarded: bool,
}

impl Clash {
    /// What it means for a bridge, and what to do.
    pub fn text(&self, bridge: &str) -> String {
        let (what, follows) = match self.forwarded {
            true => ("forwarded packets", "instances on it do not reach other networks"),
            false => ("packets for the host", "instances on it get neither addresses nor names"),
        };
        let (who, remedy) = match self.owner {
            Owner::Docker => (
                "Docker",
                format!(
                    "iptables -I DOCKER-USER -i {bridge} -j ACCEPT; iptables -I DOCKER-USER -o {bridge} -j ACCEPT"
                ),
            ),
            Owner::Ufw => (
                "ufw",
                format!(
                    "ufw allow in on {bridge}; ufw route allow in on {bridge}; ufw route allow out on {bridge}"
                ),
            ),
            Owner::Firewalld => (
                "firewalld",
                format!(
                    "firewall-cmd --zone=trusted --change-interface={bridge} --permanent; firewall-cmd --reload"
                ),
            ),
            Owner::Unknown => (
                "Another program",
                format!("add a rule to chain {} that accepts packets of {bridge}", self.chain),
            ),
        };
        format!(
            "{who} drops {what} of network {bridge:?} (chain {}, policy drop): {follows}. Remedy: {remedy}",
            self.chain
        )
    }
}

/// A chain of the host's rules.
#[derive(Default)]
struct Chain {
    table: String,
    name: String,
    hook: Hook,
    drops: bool,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Hook {
    Forward,
    Input,
    #[default]
    Other,
}

/// The chains in the output of `nft list ruleset` that keep packets of a bridge from passing.
pub fn in_nft(ruleset: &str, bridge: &str) -> Vec<Clash> {
    let (mut table, mut chains, mut lets) = (String::new(), Vec::new(), Vec::new());
    let quoted = format!("\"{bridge}\"");
    for line in ruleset.lines().map(str::trim) {
        let mut words = line.trim_end_matches('{').split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("table"), Some(family), Some(name)) => table = format!("{family} {name}"),
            (Some("chain"), Some(name), None) => {
                chains.push(Chain { table: table.clone(), name: name.to_owned(), ..Chain::default() });
            }
            (Some("type"), Some("filter"), Some("hook")) => {
                if let Some(chain) = chains.last_mut() {
                    chain.hook = match words.next() {
                        Some("forward") => Hook::Forward,
                        Some("input") => Hook::Input,
                        _ => Hook::Other,
                    };
                    chain.drops = line.contains("policy drop");
                }
            }
            _ if line.contains(&quoted) && line.contains("accept") => lets.push(table.clone()),
            _ => {}
        }
    }
    clashes(&chains, &lets)
}

/// As [`in_nft`], for the output of `iptables-save -t filter` (old tables, which nft does not show).
pub fn in_iptables(saved: &str, bridge: &str) -> Vec<Clash> {
    let table = "ip filter".to_owned();
    let (mut chains, mut lets) = (Vec::new(), Vec::new());
    for line in saved.lines() {
        if let Some((name, rest)) = line.strip_prefix(':').and_then(|line| line.split_once(' ')) {
            let hook = match name {
                "FORWARD" => Hook::Forward,
                "INPUT" => Hook::Input,
                _ => Hook::Other,
            };
            let drops = rest.starts_with("DROP");
            chains.push(Chain { table: table.clone(), name: name.to_owned(), hook, drops });
        }
        let names_it = line.split_whitespace().any(|word| word == bridge);
        if line.starts_with("-A ") && names_it && line.ends_with("-j ACCEPT") {
            lets.push(table.clone());
        }
    }
    clashes(&chains, &lets)
}

fn clashes(chains: &[Chain], lets: &[String]) -> Vec<Clash> {
    let owner = |table: &str| {
        let has = |start: &str| chains.iter().any(|c| c.table == table && c.name.starts_with(start));
        if table.ends_with(" firewalld") {
            Owner::Firewalld
        } else if has("ufw-") {
            Owner::Ufw
        } else if has("DOCKER") {
            Owner::Docker
        } else {
            Owner::Unknown
        }
    };
    // firewalld's chains accept by policy and reject at their end what belongs to no trusted zone.
    let rejects = |chain: &Chain| chain.table.ends_with(" firewalld") && chain.name.starts_with("filter_");
    let relevant = chains.iter().filter(|chain| {
        chain.hook != Hook::Other
            && (chain.drops || rejects(chain))
            && !chain.table.ends_with(" lxd")
            && !chain.table.starts_with("ip6 ")
            && !lets.contains(&chain.table)
    });
    let mut found: Vec<Clash> = relevant
        .map(|chain| Clash {
            owner: owner(&chain.table),
            chain: format!("{} {}", chain.table, chain.name),
            forwarded: chain.hook == Hook::Forward,
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &str = "table ip filter {\n\tchain DOCKER {\n\t}\n\n\tchain FORWARD {\n\t\ttype filter hook forward \
                          priority filter; policy drop;\n\t\tcounter packets 0 bytes 0 jump DOCKER-USER\n\t}\n\n\tchain \
                          DOCKER-USER {\n\t\tcounter packets 0 bytes 0 return\n\t}\n}\n";

    fn owners(found: &[Clash]) -> Vec<(Owner, bool)> {
        found.iter().map(|clash| (clash.owner, clash.forwarded)).collect()
    }

    #[test]
    fn docker_is_found_until_it_lets_the_bridge_pass() {
        let found = in_nft(DOCKER, "br1");
        assert_eq!(owners(&found), [(Owner::Docker, true)]);
        let text = found[0].text("br1");
        assert!(
            text.starts_with("Docker drops forwarded packets of network \"br1\" (chain ip filter FORWARD,"),
            "{text}"
        );
        assert!(text.ends_with("iptables -I DOCKER-USER -o br1 -j ACCEPT"), "{text}");
        let cured = DOCKER.replace("counter packets 0 bytes 0 return", "iifname \"br1\" counter accept");
        assert!(in_nft(&cured, "br1").is_empty());
        assert!(!in_nft(&cured, "br2").is_empty());
    }

    #[test]
    fn others_are_told_apart() {
        let ufw = "table ip filter {\n chain ufw-user-input {\n }\n chain INPUT {\n type filter hook input priority 0; \
                   policy drop;\n }\n chain FORWARD {\n type filter hook forward priority 0; policy drop;\n }\n}\n";
        assert_eq!(owners(&in_nft(ufw, "br1")), [(Owner::Ufw, true), (Owner::Ufw, false)]);
        let firewalld = "table inet firewalld {\n chain filter_FORWARD {\n type filter hook forward priority filter + 10; \
                         policy accept;\n }\n}\n";
        assert_eq!(owners(&in_nft(firewalld, "br1")), [(Owner::Firewalld, true)]);
        let own =
            "table inet mine {\n chain f {\n type filter hook forward priority 0; policy drop;\n }\n}\n";
        let found = in_nft(own, "br1");
        assert!(
            found[0].text("br1").ends_with("add a rule to chain inet mine f that accepts packets of br1")
        );
        let ours =
            "table inet lxd {\n chain fwd.br1 {\n type filter hook forward priority 0; policy drop;\n }\n}\n";
        assert!(in_nft(ours, "br1").is_empty() && in_nft("", "br1").is_empty());
    }

    #[test]
    fn old_tables_are_read_too() {
        let saved = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\nCOMMIT\n";
        assert_eq!(owners(&in_iptables(saved, "br1")), [(Owner::Docker, true)]);
        let cured = saved.replace("COMMIT", "-A DOCKER-USER -i br1 -j ACCEPT\nCOMMIT");
        assert!(in_iptables(&cured, "br1").is_empty());
    }
}
