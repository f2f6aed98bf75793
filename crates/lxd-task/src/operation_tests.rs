//! What operations promise.

use super::*;

fn operations() -> Operations {
    Operations::new(EventHub::default())
}

#[tokio::test]
async fn a_task_ends_with_its_result() {
    let ops = operations();
    let good = ops.spawn(OperationSpec::task("Doing", "default"), |_| async { Ok(()) });
    let bad = ops.spawn(OperationSpec::task("Doing", "default"), |_| async {
        Err(Error::not_found("no image").context("Failed to create"))
    });
    assert!(good.wait(None).await && bad.wait(None).await);
    assert_eq!(good.status(), StatusCode::SUCCESS);
    let view = bad.view(false);
    assert_eq!((view.status_code, view.err.as_str()), (StatusCode::FAILURE, "Failed to create: no image"));
}

#[tokio::test]
async fn a_panic_is_a_failure_and_nothing_else() {
    let ops = operations();
    let op = ops.spawn(OperationSpec::task("Doing", ""), |_| async { panic!("on purpose") });
    assert!(op.wait(None).await);
    assert_eq!(op.status(), StatusCode::FAILURE);
}

#[tokio::test]
async fn cancelling_needs_leave() {
    let ops = operations();
    let fixed = ops.spawn(OperationSpec::task("Doing", ""), |op| async move {
        op.cancelled().await;
        Ok(())
    });
    assert!(ops.cancel(&fixed).is_err());
    let loose = ops.spawn(OperationSpec::task("Doing", "").cancellable(), |op| async move {
        op.cancelled().await;
        op.check()
    });
    ops.cancel(&loose).unwrap();
    assert!(loose.wait(None).await);
    assert_eq!(loose.status(), StatusCode::CANCELLED);
}

#[tokio::test]
async fn a_finished_operation_is_forgotten() {
    let kept = Duration::from_millis(50);
    let ops = Operations::keeping(EventHub::default(), kept);
    let op = ops.spawn(OperationSpec::task("Doing", ""), |_| async { Ok(()) });
    assert!(op.wait(None).await);
    let finished = std::time::Instant::now();
    tokio::time::timeout(Duration::from_secs(10), async {
        while ops.get(&op.id.to_string()).is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert!(finished.elapsed() >= kept / 2, "forgotten too early");
}
