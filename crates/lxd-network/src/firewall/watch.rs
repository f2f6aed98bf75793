//! Rules that somebody else removed (`nft flush ruleset`, a restarted firewall service) are put back.

use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use lxd_host::{RuleEvent, RuleEvents};
use lxd_types::Result;

use super::{Change, Firewall, Known};

/// The name of our tables.
const TABLE: &str = "lxd";
/// What is removed within this time is put back at once.
const TOGETHER: Duration = Duration::from_millis(50);
/// The pauses after putting back grow between these, while somebody removes the rules again and again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(1000));
/// The pause before the kernel is asked for events again, when it gives none.
const RETRY: Duration = Duration::from_secs(60);
/// More events than this are not told apart.
const MANY: usize = 4096;

impl Firewall {
    /// Puts rules back that others remove, and does not end.
    pub async fn watch(&self) {
        loop {
            let error = match RuleEvents::new() {
                Ok(events) => self.follow(events).await,
                Err(error) => error,
            };
            tracing::warn!(error = %error, "Removed firewall rules are not noticed");
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Puts everything back that was adopted, in case it was lost while no daemon ran.
    ///
    /// # Errors
    /// What the host refuses.
    pub async fn restore(&self) -> Result<()> {
        let _turn = self.shared.turn.write().await;
        self.apply_all().await
    }

    /// Follows the events until there are none any more.
    async fn follow(&self, mut events: RuleEvents) -> io::Error {
        let mut pause = PAUSES.0;
        loop {
            let found = match together(&mut events).await {
                Ok(found) => found,
                Err(error) => return error,
            };
            match self.put_back(&found).await {
                Ok(false) => {
                    pause = PAUSES.0;
                    continue;
                }
                Ok(true) => tracing::warn!("Firewall rules that somebody removed were put back"),
                Err(error) => {
                    tracing::error!(error = error.chain(), "Firewall rules cannot be put back");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Puts everything back when rules of ours were removed by somebody else; whether that was so.
    async fn put_back(&self, found: &[RuleEvent]) -> Result<bool> {
        // From here on no change is half made, and the processes of all that were made are known.
        let _turn = self.shared.turn.write().await;
        let is_lost = {
            let known = self.known();
            found.iter().any(|event| is_loss(event, &known))
        };
        if is_lost {
            self.apply_all().await?;
        }
        Ok(is_lost)
    }

    /// Everything at once; where that is refused, each by itself, so that a broken one does not keep the others away.
    async fn apply_all(&self) -> Result<()> {
        let all: Vec<Change> = self.known().wanted.values().cloned().collect();
        if all.is_empty() {
            return Ok(());
        }
        let driver = &self.shared.driver;
        let whole = driver.apply(&all).await;
        match whole {
            Ok(pid) => {
                self.known().remember_process(pid);
                Ok(())
            }
            Err(first) => {
                for change in &all {
                    match driver.apply(std::slice::from_ref(change)).await {
                        Ok(pid) => self.known().remember_process(pid),
                        Err(error) => {
                            let (_, label) = change.key();
                            tracing::error!(
                                label,
                                error = error.chain(),
                                "Firewall rules cannot be put back"
                            );
                        }
                    }
                }
                Err(first)
            }
        }
    }
}

/// The events that come within a short time.
async fn together(events: &mut RuleEvents) -> io::Result<Vec<RuleEvent>> {
    let mut found = events.next().await?;
    tokio::time::sleep(TOGETHER).await;
    while let Some(more) = events.next().now_or_never() {
        found.extend(more?);
        if found.len() > MANY {
            found = vec![RuleEvent::Many];
        }
    }
    Ok(found)
}

/// Whether an event means that rules are missing which shall be there.
fn is_loss(event: &RuleEvent, known: &Known) -> bool {
    let RuleEvent::Chain { table, chain, by } = event else { return !known.wanted.is_empty() };
    if table != TABLE || known.own.contains(by) {
        return false;
    }
    // A table without a chain: all of them are gone.
    let Some((_, label)) = chain.split_once('.') else { return !known.wanted.is_empty() };
    known.wanted.keys().any(|(_, wanted)| wanted == label)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use lxd_types::Error;

    use super::*;
    use crate::firewall::Driver;

    /// Counts; refuses what is about this label.
    #[derive(Clone, Default)]
    struct Fake {
        made: Arc<Mutex<Vec<usize>>>,
        broken: &'static str,
    }

    #[async_trait]
    impl Driver for Fake {
        async fn apply(&self, changes: &[Change]) -> Result<i32> {
            if changes.iter().any(|change| change.key().1 == self.broken) {
                return Err(Error::internal("refused"));
            }
            self.made.lock().unwrap().push(changes.len());
            Ok(100)
        }
    }

    fn gone(table: &str, chain: &str, by: i32) -> RuleEvent {
        RuleEvent::Chain { table: table.to_owned(), chain: chain.to_owned(), by }
    }

    #[tokio::test]
    async fn only_what_others_took_of_ours_is_put_back() {
        let fake = Fake::default();
        let firewall = Firewall::with(Box::new(fake.clone()));
        firewall.set_routed("c1.eth0".to_owned(), "v0").await.unwrap();
        firewall.set_routed("c2.eth0".to_owned(), "v1").await.unwrap();
        firewall.remove_routed("c2.eth0".to_owned()).await.unwrap();
        firewall.adopt_routed("c3.eth0".to_owned(), "v2");
        for (event, lost) in [
            (gone("lxd", "prert.c1.eth0", 7), true),
            (gone("lxd", "prert.c3.eth0", 7), true),
            (gone("lxd", "", 7), true),
            (RuleEvent::Many, true),
            (gone("lxd", "prert.c1.eth0", 100), false),
            (gone("lxd", "prert.c2.eth0", 7), false),
            (gone("lxd", "prert.other.eth0", 7), false),
            (gone("filter", "prert.c1.eth0", 7), false),
        ] {
            let before = fake.made.lock().unwrap().len();
            assert_eq!(firewall.put_back(std::slice::from_ref(&event)).await.unwrap(), lost, "{event:?}");
            let made = fake.made.lock().unwrap()[before..].to_vec();
            assert_eq!(made, if lost { vec![2] } else { vec![] }, "{event:?}");
        }
    }

    #[tokio::test]
    async fn one_that_is_refused_does_not_keep_the_others_away() {
        let fake = Fake { broken: "c1.eth0", ..Fake::default() };
        let firewall = Firewall::with(Box::new(fake.clone()));
        for label in ["c1.eth0", "c2.eth0", "c3.eth0"] {
            firewall.adopt_routed(label.to_owned(), "v0");
        }
        assert!(firewall.restore().await.is_err());
        assert_eq!(*fake.made.lock().unwrap(), [1, 1]);
    }
}
