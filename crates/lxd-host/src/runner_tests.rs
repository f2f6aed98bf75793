//! Tests of the runner with real processes.

use super::*;

#[tokio::test]
async fn arguments_are_not_interpreted() {
    let output = RealRunner.run(Cmd::new("printf").args(["%s|", "a b", "$HOME;`id`", ""])).await.unwrap();
    assert_eq!(output.text(), "a b|$HOME;`id`||");
}

#[tokio::test]
async fn input_reaches_the_child_and_language_is_fixed() {
    let output = RealRunner.run(Cmd::new("cat").input(Input::Bytes(vec![b'x'; 300_000]))).await.unwrap();
    assert_eq!(output.stdout.len(), 300_000);
    let output = RealRunner.run(Cmd::new("env").env("A", "b")).await.unwrap();
    assert!(output.text().contains("LC_ALL=C\n") && output.text().contains("A=b\n"));
}

#[tokio::test]
async fn failure_carries_status_and_words() {
    let error = RealRunner.run(Cmd::new("ls").args(["--", "/no/such/path"])).await.unwrap_err();
    assert_eq!(error.exit_code(), Some(2));
    assert!(
        error.to_string().starts_with("Failed to run: ls -- /no/such/path: exit status 2 (ls: "),
        "{error}"
    );
    let error = RealRunner.run(Cmd::new("no-such-program-here")).await.unwrap_err();
    assert!(matches!(error, CmdError::Missing { .. }), "{error}");
}

#[tokio::test]
async fn output_is_bounded_but_read() {
    let cmd = Cmd::new("head").args(["-c", "3000000", "/dev/zero"]).output_limit(1000);
    assert_eq!(RealRunner.run(cmd).await.unwrap().stdout.len(), 1000);
}

/// A script that writes the number of a process of its own to a file and waits.
fn script(pid_file: &std::path::Path) -> Cmd {
    let script = format!("sleep 600 & echo $! >{0}.new; mv {0}.new {0}; wait", pid_file.display());
    Cmd::new("sh").args(["-c", &script])
}

/// Waits for the number in the file, and for the end of that process.
async fn ends(pid_file: &std::path::Path) {
    let pid: i32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    let runs = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.contains("(sleep)") && !stat.contains(") Z")
    };
    tokio::time::timeout(Duration::from_secs(10), async {
        while runs() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the grandchild is killed, too");
    std::fs::remove_file(pid_file).unwrap();
}

#[tokio::test]
async fn time_is_limited_for_the_whole_group() {
    let pid_file = tempfile_path("group");
    let cmd = script(&pid_file).timeout(Duration::from_secs(2));
    assert!(matches!(RealRunner.run(cmd).await, Err(CmdError::TimedOut { .. })));
    ends(&pid_file).await;
}

#[tokio::test]
async fn dropping_kills() {
    let pid_file = tempfile_path("drop");
    let written = async {
        while !pid_file.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = RealRunner.run(script(&pid_file)) => panic!("it waits: {ended:?}"),
        () = written => {}
    }
    ends(&pid_file).await;
}

fn tempfile_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("lxd-host-runner-{name}-{}", std::process::id()))
}
