//! What all objects with a configuration have in common: get, set, unset, edit of keys through `GET` and `PUT`.

use anyhow::{Result, bail};
use lxd_client::{Client, Operation};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::Matches;
use crate::cx::Cx;
use crate::{editor, follow, keyvalue, output, stdin};

/// An object with its URL.
pub struct Entity {
    client: Client,
    path: String,
}

impl Entity {
    /// The object at a URL.
    pub fn new(client: &Client, path: String) -> Self {
        Self { client: client.clone(), path }
    }

    /// Prints the value of a key (empty when it is not set).
    ///
    /// # Errors
    /// The server's.
    pub async fn print_key(&self, key: &str) -> Result<()> {
        println!("{}", text_of(self.key(key).await?.as_ref()));
        Ok(())
    }

    /// Prints the value of a key, and nothing at all when it is not set.
    ///
    /// # Errors
    /// The server's.
    pub async fn print_set_key(&self, key: &str) -> Result<()> {
        if let Some(value) = self.key(key).await? {
            println!("{}", text_of(Some(&value)));
        }
        Ok(())
    }

    /// The value of a key.
    ///
    /// # Errors
    /// The server's.
    pub async fn key(&self, key: &str) -> Result<Option<Value>> {
        let value: Value = self.client.get(&self.path).await?;
        Ok(value.get("config").and_then(|config| config.get(key)).cloned())
    }

    /// Prints the object as YAML.
    ///
    /// # Errors
    /// The server's.
    pub async fn show<T: DeserializeOwned + Serialize>(&self) -> Result<()> {
        let value: T = self.client.get(&self.path).await?;
        output::print_yaml(&value)
    }

    /// Sets keys from `key value` or `key=value` words. `T` holds the members that may be written.
    ///
    /// # Errors
    /// Wrong words, or the server's error.
    pub async fn set<T: DeserializeOwned + Serialize>(&self, cx: &Cx, words: &[String]) -> Result<()> {
        let settings = keyvalue::settings(words)?;
        self.change::<T>(cx, |object| {
            for (key, value) in &settings {
                object["config"][key] = json!(value);
            }
            Ok(())
        })
        .await
    }

    /// Removes a key.
    ///
    /// # Errors
    /// The server's; `missing` when the key is not set.
    pub async fn unset<T: DeserializeOwned + Serialize>(&self, cx: &Cx, key: &str) -> Result<()> {
        self.change::<T>(cx, |object| {
            if let Some(config) = object["config"].as_object_mut()
                && config.shift_remove(key).is_none()
            {
                bail!("Can't unset key '{key}', it's not currently set");
            }
            Ok(())
        })
        .await
    }

    /// Reads the writable members, changes them and writes them back; a change by others meanwhile is an error.
    ///
    /// # Errors
    /// The server's, or that of the change.
    pub async fn change<T: DeserializeOwned + Serialize>(
        &self,
        cx: &Cx,
        change: impl FnOnce(&mut Value) -> Result<()>,
    ) -> Result<()> {
        let (current, etag): (T, String) = self.client.get_etag(&self.path).await?;
        let mut object = serde_json::to_value(&current)?;
        if object.get("config").is_some_and(Value::is_null) {
            object["config"] = json!({});
        }
        change(&mut object)?;
        self.put(cx, &object, &etag).await
    }

    /// Writes the object.
    ///
    /// # Errors
    /// The server's.
    pub async fn put<B: Serialize>(&self, cx: &Cx, body: &B, etag: &str) -> Result<()> {
        let mut operation = self.client.start_if_match("PUT", &self.path, body, etag).await?;
        follow::wait(cx, &mut operation, "").await
    }

    /// Lets the user edit the object: `T` is what is shown, `P` what is written.
    ///
    /// # Errors
    /// The server's, or that of the editor.
    pub async fn edit<T, P>(&self, cx: &Cx, hint: &str) -> Result<()>
    where
        T: DeserializeOwned + Serialize,
        P: DeserializeOwned + Serialize + Default,
    {
        let (text, etag) = if stdin::is_terminal() {
            let (current, etag): (T, String) = self.client.get_etag(&self.path).await?;
            (format!("{}\n{}", comment(hint), output::yaml_text(&current)?), etag)
        } else {
            (String::new(), String::new())
        };
        editor::edit(text, |content: String| async {
            let new: P = editor::from_yaml(&{ content })?;
            self.put(cx, &new, &etag).await
        })
        .await
    }
}

impl Entity {
    /// Removes the object and says so; `what` is its kind and name.
    ///
    /// # Errors
    /// The server's.
    pub async fn delete(&self, cx: &Cx, what: &str) -> Result<()> {
        send(cx, &self.client, "DELETE", &self.path, None).await?;
        cx.say(format_args!("{what} deleted"));
        Ok(())
    }

    /// Gives the object another name and says so; `what` is its kind and name.
    ///
    /// # Errors
    /// The server's.
    pub async fn rename(&self, cx: &Cx, what: &str, new: &str) -> Result<()> {
        send(cx, &self.client, "POST", &self.path, Some(&json!({"name": new}))).await?;
        cx.say(format_args!("{what} renamed to {new}"));
        Ok(())
    }
}

/// The objects of a collection, as sent and typed, for a list command whose only argument may be a remote.
///
/// # Errors
/// The server's; a name where only a remote can be.
pub async fn listed<T: DeserializeOwned>(
    cx: &Cx,
    matches: &Matches,
    collection: &str,
) -> Result<(Value, Vec<T>)> {
    let target = cx.target(matches.arg(0))?;
    if !target.name.is_empty() {
        bail!("Filtering isn't supported yet");
    }
    let raw = target.client.send::<Value>("GET", &format!("{collection}?recursion=1"), None).await?;
    let typed = lxd_api::from_value(raw.clone())?;
    Ok((raw, typed))
}

/// Lines of a hint as YAML comments.
pub fn comment(hint: &str) -> String {
    hint.lines().map(|line| format!("### {line}").trim_end().to_owned() + "\n").collect()
}

/// A configuration value as text.
pub fn text_of(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Sends a request that may answer with an operation, and waits for it.
///
/// # Errors
/// The server's.
pub async fn send(
    cx: &Cx,
    client: &Client,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Operation> {
    let mut operation = client.start(method, path, body).await?;
    follow::wait(cx, &mut operation, "").await?;
    Ok(operation)
}

impl Entity {
    /// Removes a key. One that is not set is sent as empty, so that the server refuses unknown keys.
    ///
    /// # Errors
    /// The server's.
    pub async fn unset_loosely<T: DeserializeOwned + Serialize>(&self, cx: &Cx, key: &str) -> Result<()> {
        self.change::<T>(cx, |object| {
            if let Some(config) = object["config"].as_object_mut()
                && config.shift_remove(key).is_none()
            {
                config.insert(key.to_owned(), json!(""));
            }
            Ok(())
        })
        .await
    }
}

/// The statics `GET`, `SET` and `UNSET` of a kind of objects: they differ in words, in the members that may be written, and in
/// how an object is found. `get` names the function of [`Entity`] that prints; `key` says which argument is the key.
macro_rules! key_commands {
    (
        $what:literal, $args:literal, $put:ty, $flags:expr, get: $get:ident,
        |$cx:ident, $m:ident| read: $read:expr, write: $write:expr
    ) => {
        key_commands!($what, $args, $put, $flags, get: $get, |$cx, $m| read: $read, write: $write, key: 1);
    };
    (
        $what:literal, $args:literal, $put:ty, $flags:expr, get: $get:ident,
        |$cx:ident, $m:ident| read: $read:expr, write: $write:expr, key: $key:literal
    ) => {
        static GET: Spec = Spec {
            name: "get",
            args: concat!($args, " <key>"),
            about: concat!("Print one configuration key of a ", $what),
            flags: $flags,
            count: ($key + 1, $key + 1),
            run: Some(|$cx, $m| Box::pin(async { $read.$get($m.arg($key)).await })),
            ..Spec::NEW
        };

        static SET: Spec = Spec {
            name: "set",
            args: concat!($args, " <key>=<value>..."),
            about: concat!("Set configuration keys of a ", $what),
            flags: $flags,
            count: ($key + 1, usize::MAX),
            run: Some(|$cx, $m| Box::pin(async { $write.set::<$put>($cx, $m.rest($key)).await })),
            ..Spec::NEW
        };

        static UNSET: Spec = Spec {
            name: "unset",
            args: concat!($args, " <key>"),
            about: concat!("Drop a configuration key of a ", $what),
            flags: $flags,
            count: ($key + 1, $key + 1),
            run: Some(|$cx, $m| Box::pin(async { $write.unset_loosely::<$put>($cx, $m.arg($key)).await })),
            ..Spec::NEW
        };
    };
}
pub(super) use key_commands;
