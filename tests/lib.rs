//! End-to-end tests: see `e2e/main.rs`. They start the real daemon and real containers.
