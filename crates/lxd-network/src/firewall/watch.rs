//! Rules that somebody else removed (`nft flush ruleset`, a restarted firewall service) are put back.

use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use lxd_host::{RuleEvent, RuleEvents};
use tokio::time::{Instant, timeout_at};

use super::{Change, Firewall, Known};

/// The name of our tables.
const TABLE: &str = "lxd";
/// What is removed within this time is put back at once.
const TOGETHER: Duration = Duration::from_millis(50);
/// The pauses after putting back grow between these, while somebody removes the rules again and again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(1000));
/// The pauses before what could not be put back is tried again grow up to this.
const LONGEST: Duration = Duration::from_secs(60);
/// More events than this are not told apart.
const MANY: usize = 4096;

impl Firewall {
    /// Puts rules back that were lost while nobody looked and that others remove from now on, and does not end.
    pub async fn watch(&self) {
        loop {
            let error = match RuleEvents::new() {
                Ok(events) => self.follow(Events(events), PAUSES.1).await,
                Err(error) => error,
            };
            tracing::warn!(error = %error, "Removed firewall rules are not noticed");
            tokio::time::sleep(LONGEST).await;
        }
    }

    /// Waits until the rules of others changed, since the last call returned.
    pub async fn others_change(&self) {
        self.shared.others.notified().await;
    }

    /// Follows the events until there are none any more. What cannot be put back is tried again until it can, for the first time
    /// after `first`.
    async fn follow(&self, mut events: impl Removals, first: Duration) -> io::Error {
        // Since the last look everything may have gone.
        let mut failed = self.put_back(&[RuleEvent::Many]).await.unwrap_or_default();
        let (mut pause, mut retry) = (PAUSES.0, first);
        let mut next_try = Instant::now() + retry;
        loop {
            let next = match failed.is_empty() {
                true => events.next().await,
                false => match timeout_at(next_try, events.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        failed = self.put_back_some(&failed).await;
                        retry = (retry * 2).min(LONGEST);
                        next_try = Instant::now() + retry;
                        continue;
                    }
                },
            };
            let found = match next {
                Ok(found) => together(&mut events, found).await,
                Err(error) => Err(error),
            };
            let found = match found {
                Ok(found) => found,
                Err(error) => return error,
            };
            if found.iter().any(|event| matches!(event, RuleEvent::Others | RuleEvent::Many)) {
                self.shared.others.notify_one();
            }
            let Some(left) = self.put_back(&found).await else {
                pause = PAUSES.0;
                continue;
            };
            tracing::warn!(left = left.len(), "Firewall rules that somebody removed were put back");
            (failed, retry) = (left, first);
            next_try = Instant::now() + retry;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Puts everything back when rules of ours were removed by somebody else; what could not be, if that was so.
    async fn put_back(&self, found: &[RuleEvent]) -> Option<Vec<Change>> {
        // From here on no change is half made, and the processes of all that were made are known.
        let _turn = self.shared.turn.write().await;
        let lost: Vec<Change> = {
            let known = self.known();
            let is_lost = found.iter().any(|event| is_loss(event, &known, std::time::Instant::now()));
            is_lost.then(|| known.wanted.values().cloned().collect())?
        };
        Some(self.apply_each(&lost).await)
    }

    /// Tries again what could not be put back and is still wanted; what could not be now.
    async fn put_back_some(&self, failed: &[Change]) -> Vec<Change> {
        let _turn = self.shared.turn.write().await;
        let wanted: Vec<Change> = {
            let known = self.known();
            failed.iter().filter_map(|change| known.wanted.get(&change.key()).cloned()).collect()
        };
        self.apply_each(&wanted).await
    }

    /// Everything at once; where that is refused, each by itself, so that a broken one does not keep the others away. Answers
    /// those that were refused.
    async fn apply_each(&self, all: &[Change]) -> Vec<Change> {
        if all.is_empty() || self.apply_logged(all).await {
            return Vec::new();
        }
        let mut failed = Vec::new();
        for change in all {
            if !self.apply_logged(std::slice::from_ref(change)).await {
                failed.push(change.clone());
            }
        }
        failed
    }

    async fn apply_logged(&self, changes: &[Change]) -> bool {
        match self.shared.driver.apply(changes).await {
            Ok(pid) => {
                self.known().remember_process(pid);
                true
            }
            Err(error) => {
                let labels: Vec<String> = changes.iter().map(|change| change.key().1).collect();
                let (labels, error) = (labels.join(", "), error.chain());
                tracing::error!(labels, error, "Firewall rules cannot be put back");
                false
            }
        }
    }
}

/// Where removals are heard of.
trait Removals {
    /// The next ones. A call that is given up loses none.
    async fn next(&mut self) -> io::Result<Vec<RuleEvent>>;
}

/// Those of the kernel.
struct Events(RuleEvents);

impl Removals for Events {
    async fn next(&mut self) -> io::Result<Vec<RuleEvent>> {
        self.0.next().await
    }
}

/// These events with those that come within a short time.
async fn together(events: &mut impl Removals, mut found: Vec<RuleEvent>) -> io::Result<Vec<RuleEvent>> {
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
fn is_loss(event: &RuleEvent, known: &Known, now: std::time::Instant) -> bool {
    let (table, chain, by) = match event {
        RuleEvent::Chain { table, chain, by } => (table, chain, by),
        RuleEvent::Others => return false,
        RuleEvent::Many => return !known.wanted.is_empty(),
    };
    if table != TABLE || known.is_own(*by, now) {
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
    use lxd_types::{Error, Result};

    use super::*;
    use crate::firewall::{Driver, REMEMBERED};

    /// Counts; refuses what is about this label, or the first times.
    #[derive(Clone, Default)]
    struct Fake {
        made: Arc<Mutex<Vec<usize>>>,
        broken: &'static str,
        refusals: Arc<Mutex<u32>>,
    }

    #[async_trait]
    impl Driver for Fake {
        async fn apply(&self, changes: &[Change]) -> Result<i32> {
            let refuses = {
                let mut left = self.refusals.lock().unwrap();
                let refuses = *left > 0;
                *left = left.saturating_sub(1);
                refuses
            };
            if refuses || changes.iter().any(|change| change.key().1 == self.broken) {
                return Err(Error::internal("refused"));
            }
            self.made.lock().unwrap().push(changes.len());
            Ok(100)
        }

        fn name(&self) -> &'static str {
            "fake"
        }
    }

    /// These removals, and then no more.
    struct Script(Vec<RuleEvent>);

    impl Removals for Script {
        async fn next(&mut self) -> io::Result<Vec<RuleEvent>> {
            match self.0.pop() {
                Some(event) => Ok(vec![event]),
                None => std::future::pending().await,
            }
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
            (RuleEvent::Others, false),
            (gone("lxd", "prert.c1.eth0", 100), false),
            (gone("lxd", "prert.c2.eth0", 7), false),
            (gone("lxd", "prert.other.eth0", 7), false),
            (gone("filter", "prert.c1.eth0", 7), false),
        ] {
            let before = fake.made.lock().unwrap().len();
            let put_back = firewall.put_back(std::slice::from_ref(&event)).await;
            assert_eq!(put_back.is_some(), lost, "{event:?}");
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
        let failed = firewall.put_back(&[RuleEvent::Many]).await.unwrap();
        assert_eq!(failed, [Change::Routed("c1.eth0".to_owned(), "v0".to_owned())]);
        assert_eq!(*fake.made.lock().unwrap(), [1, 1]);
    }

    #[tokio::test]
    async fn what_cannot_be_put_back_is_tried_until_it_can() {
        let fake = Fake::default();
        let firewall = Firewall::with(Box::new(fake.clone()));
        firewall.set_routed("c1.eth0".to_owned(), "v0").await.unwrap();
        // What was lost before the watch began, then what is taken: both are refused several times.
        *fake.refusals.lock().unwrap() = 9;
        let watch = firewall.follow(Script(vec![gone("lxd", "", 7)]), Duration::from_millis(1));
        let done = async {
            while fake.made.lock().unwrap().len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = watch => unreachable!("it does not end"),
            () = done => {}
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("never put back"),
        }
        assert_eq!(*fake.refusals.lock().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_number_of_ours_is_somebody_elses_later() {
        let firewall = Firewall::with(Box::new(Fake::default()));
        firewall.set_routed("c1.eth0".to_owned(), "v0").await.unwrap();
        let event = gone("lxd", "prert.c1.eth0", 100);
        let (known, now) = (firewall.known(), std::time::Instant::now());
        assert!(!is_loss(&event, &known, now));
        assert!(is_loss(&event, &known, now + REMEMBERED));
    }
}
