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

/// Which packets a bridge has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Families {
    /// It has IPv4.
    pub ipv4: bool,
    /// It has IPv6.
    pub ipv6: bool,
}

impl Families {
    /// Whether the chains of a table (`FAMILY NAME`) see them.
    fn fit(self, table: &str) -> bool {
        match table.split_once(' ') {
            Some(("ip", _)) => self.ipv4,
            Some(("ip6", _)) => self.ipv6,
            _ => self.ipv4 || self.ipv6,
        }
    }
}

/// A chain of the host's rules.
#[derive(Default)]
struct Chain {
    table: String,
    name: String,
    hook: Hook,
    drops: bool,
    /// The chains of its table that its rules lead to.
    leads: Vec<String>,
    /// Whether it accepts what comes from the bridge.
    accepts: bool,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Hook {
    Forward,
    Input,
    #[default]
    Other,
}

/// The chains in the output of `nft list ruleset` that keep packets of a bridge from passing.
pub fn in_nft(ruleset: &str, bridge: &str, families: Families) -> Vec<Clash> {
    let (mut table, mut chains) = (String::new(), Vec::<Chain>::new());
    let from = format!("iifname \"{bridge}\"");
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
            _ => {
                if let Some(chain) = chains.last_mut() {
                    chain.leads.extend(target(line, &["jump", "goto"]));
                    chain.accepts |= line.contains(&from) && line.contains("accept");
                }
            }
        }
    }
    clashes(&chains, families)
}

/// As [`in_nft`], for the output of `iptables-save -t filter` or `ip6tables-save -t filter` (old tables, which nft does not show).
pub fn in_iptables(saved: &str, ipv6: bool, bridge: &str, families: Families) -> Vec<Clash> {
    let table = if ipv6 { "ip6 filter" } else { "ip filter" }.to_owned();
    let mut chains = Vec::<Chain>::new();
    let from = format!("-i {bridge} ");
    for line in saved.lines() {
        if let Some((name, rest)) = line.strip_prefix(':').and_then(|line| line.split_once(' ')) {
            let hook = match name {
                "FORWARD" => Hook::Forward,
                "INPUT" => Hook::Input,
                _ => Hook::Other,
            };
            let drops = rest.starts_with("DROP");
            chains.push(Chain {
                table: table.clone(),
                name: name.to_owned(),
                hook,
                drops,
                ..Chain::default()
            });
        }
        let of = line.strip_prefix("-A ").and_then(|rest| rest.split_whitespace().next());
        if let Some(chain) = chains.iter_mut().find(|chain| Some(chain.name.as_str()) == of) {
            chain.leads.extend(target(line, &["-j", "-g"]));
            chain.accepts |= line.contains(&from) && line.ends_with("-j ACCEPT");
        }
    }
    clashes(&chains, families)
}

/// The chain that a rule leads to by one of these words.
fn target(rule: &str, words: &[&str]) -> Option<String> {
    let mut all = rule.split_whitespace();
    all.find(|word| words.contains(word))?;
    all.next().map(str::to_owned)
}

/// Whether a chain, or one that it leads to, accepts what comes from the bridge.
fn lets_pass(chains: &[Chain], start: &Chain) -> bool {
    let (mut seen, mut open) = (vec![start.name.as_str()], vec![start]);
    while let Some(chain) = open.pop() {
        if chain.accepts {
            return true;
        }
        for next in chains.iter().filter(|next| next.table == start.table && chain.leads.contains(&next.name))
        {
            if !seen.contains(&next.name.as_str()) {
                seen.push(&next.name);
                open.push(next);
            }
        }
    }
    false
}

fn clashes(chains: &[Chain], families: Families) -> Vec<Clash> {
    let owner = |table: &str| {
        let has = |start: &str| chains.iter().any(|c| c.table == table && c.name.starts_with(start));
        if table.ends_with(" firewalld") {
            Owner::Firewalld
        } else if has("ufw-") || has("ufw6-") {
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
            && families.fit(&chain.table)
            && !lets_pass(chains, chain)
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

    const BOTH: Families = Families { ipv4: true, ipv6: true };

    fn nft(rules: &str, bridge: &str) -> Vec<Clash> {
        in_nft(rules, bridge, BOTH)
    }

    fn iptables(rules: &str, bridge: &str) -> Vec<Clash> {
        in_iptables(rules, false, bridge, BOTH)
    }

    const DOCKER: &str = "table ip filter {\n\tchain DOCKER {\n\t}\n\n\tchain FORWARD {\n\t\ttype filter hook forward \
                          priority filter; policy drop;\n\t\tcounter packets 0 bytes 0 jump DOCKER-USER\n\t}\n\n\tchain \
                          DOCKER-USER {\n\t\tcounter packets 0 bytes 0 return\n\t}\n}\n";

    fn owners(found: &[Clash]) -> Vec<(Owner, bool)> {
        found.iter().map(|clash| (clash.owner, clash.forwarded)).collect()
    }

    #[test]
    fn docker_is_found_until_it_lets_the_bridge_pass() {
        let found = nft(DOCKER, "br1");
        assert_eq!(owners(&found), [(Owner::Docker, true)]);
        let text = found[0].text("br1");
        assert!(
            text.starts_with("Docker drops forwarded packets of network \"br1\" (chain ip filter FORWARD,"),
            "{text}"
        );
        assert!(text.ends_with("iptables -I DOCKER-USER -o br1 -j ACCEPT"), "{text}");
        let cured = DOCKER.replace("counter packets 0 bytes 0 return", "iifname \"br1\" counter accept");
        assert!(nft(&cured, "br1").is_empty());
        assert!(!nft(&cured, "br2").is_empty());
    }

    #[test]
    fn others_are_told_apart() {
        let ufw = "table ip filter {\n chain ufw-user-input {\n }\n chain INPUT {\n type filter hook input priority 0; \
                   policy drop;\n }\n chain FORWARD {\n type filter hook forward priority 0; policy drop;\n }\n}\n";
        assert_eq!(owners(&nft(ufw, "br1")), [(Owner::Ufw, true), (Owner::Ufw, false)]);
        let firewalld = "table inet firewalld {\n chain filter_FORWARD {\n type filter hook forward priority filter + 10; \
                         policy accept;\n }\n}\n";
        assert_eq!(owners(&nft(firewalld, "br1")), [(Owner::Firewalld, true)]);
        let own =
            "table inet mine {\n chain f {\n type filter hook forward priority 0; policy drop;\n }\n}\n";
        let found = nft(own, "br1");
        assert!(
            found[0].text("br1").ends_with("add a rule to chain inet mine f that accepts packets of br1")
        );
        let ours =
            "table inet lxd {\n chain fwd.br1 {\n type filter hook forward priority 0; policy drop;\n }\n}\n";
        assert!(nft(ours, "br1").is_empty() && nft("", "br1").is_empty());
    }

    #[test]
    fn old_tables_are_read_too() {
        let saved = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\nCOMMIT\n";
        assert_eq!(owners(&iptables(saved, "br1")), [(Owner::Docker, true)]);
        let cured =
            saved.replace("COMMIT", "-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -i br1 -j ACCEPT\nCOMMIT");
        assert!(iptables(&cured, "br1").is_empty());
    }

    #[test]
    fn a_rule_counts_for_the_chain_that_leads_to_it() {
        let rules = "table ip filter {\n chain INPUT {\n type filter hook input priority 0; policy drop;\n iifname \"br1\" \
                     udp dport 67 accept\n jump a\n }\n chain FORWARD {\n type filter hook forward priority 0; policy \
                     drop;\n jump b\n }\n chain a {\n jump b\n }\n chain b {\n jump a\n }\n}\n";
        assert_eq!(owners(&nft(rules, "br1")), [(Owner::Unknown, true)], "only packets for the host pass");
        let out = rules.replace("jump a\n }\n}", "oifname \"br1\" accept\n }\n}");
        assert_eq!(owners(&nft(&out, "br1")), [(Owner::Unknown, true)], "only what comes back passes");
        let both = rules.replace("jump a\n }\n}", "iifname \"br1\" accept\n }\n}");
        assert!(nft(&both, "br1").is_empty());
        let saved = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:a - [0:0]\n-A INPUT -i br1 -j ACCEPT\n-A a -i br1 \
                     -j ACCEPT\nCOMMIT\n";
        assert_eq!(owners(&iptables(saved, "br1")), [(Owner::Unknown, true)]);
        assert!(iptables(&saved.replace("-A a", "-A FORWARD -j a\n-A a"), "br1").is_empty());
    }

    #[test]
    fn rules_of_a_family_matter_to_networks_that_have_it() {
        let of = |table: &str, ipv4: bool, ipv6: bool| {
            let rules = format!(
                "table {table} filter {{\n chain f {{\n type filter hook forward priority 0; policy drop;\n }}\n}}\n"
            );
            !in_nft(&rules, "br1", Families { ipv4, ipv6 }).is_empty()
        };
        assert!(of("ip", true, false) && !of("ip", false, true));
        assert!(of("ip6", false, true) && !of("ip6", true, false));
        assert!(of("inet", true, false) && of("inet", false, true) && !of("inet", false, false));
        let saved = "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n";
        let four = Families { ipv4: true, ipv6: false };
        assert!(in_iptables(saved, true, "br1", four).is_empty());
        assert_eq!(in_iptables(saved, true, "br1", BOTH)[0].chain, "ip6 filter FORWARD");
    }
}
