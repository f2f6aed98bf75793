//! Templates of images (manual 3.3.3): pongo2's syntax, rendered by minijinja without any way to reach files.
//!
//! [`render`] is pure: text in, text out, with limits on work, depth and size (flaws A5-A7 of the security rules: no
//! loader exists, and `include`, `extends`, `import`, `from` and `ssi` are refused by name). Who reads templates and
//! writes files does so through directory descriptors.

mod filters;
mod syntax;

use std::collections::BTreeMap;
use std::io::{self, Write};

use lxd_types::Kind;
use lxd_types::error::Classify;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

/// Work that one template may cause: enough for long loops, reached within milliseconds.
const FUEL: u64 = 50_000;

/// Depth of nested calls.
const DEPTH: usize = 20;

/// Longest result in bytes.
pub const OUTPUT_LIMIT: usize = 1 << 20;

/// Longest template in bytes.
pub const SOURCE_LIMIT: usize = 1 << 20;

/// A template that cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It uses something that could read files.
    #[error("The tag {0:?} is not allowed in templates")]
    Forbidden(String),
    /// It is too large, or its result is.
    #[error("The template exceeds a limit: {0}")]
    Limit(&'static str),
    /// It is wrong.
    #[error("Failed to render template: {0}")]
    Wrong(String),
}

impl Classify for TemplateError {
    fn kind(&self) -> Kind {
        Kind::BadRequest
    }
}

/// What a template is told about its instance.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Name of the event: `create`, `copy`, `rename`, `start`.
    pub trigger: String,
    /// The file that is made.
    pub path: String,
    /// `name`, `architecture`, `privileged`, `ephemeral`, `type` of the instance.
    pub instance: BTreeMap<String, String>,
    /// The instance's expanded configuration.
    pub config: BTreeMap<String, String>,
    /// The instance's expanded devices.
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Values of `metadata.yaml` for this template.
    pub properties: BTreeMap<String, String>,
}

/// Renders a template.
///
/// # Errors
/// The template is wrong, hostile or too large.
pub fn render(source: &str, context: &Context) -> Result<String, TemplateError> {
    if source.len() > SOURCE_LIMIT {
        return Err(TemplateError::Limit("length of the template"));
    }
    let source = syntax::translate(source)?;
    let environment = environment(context)?;
    let template = environment.template_from_str(&source).map_err(wrong)?;
    let mut output = Limited(Vec::new());
    let values = minijinja::context! {
        trigger => context.trigger.clone(),
        path => context.path.clone(),
        container => context.instance.clone(),
        instance => context.instance.clone(),
        config => context.config.clone(),
        devices => context.devices.clone(),
        properties => context.properties.clone(),
    };
    template.render_captured_to(values, &mut output).map(drop).map_err(|error| {
        if output.0.len() >= OUTPUT_LIMIT {
            TemplateError::Limit("length of the result")
        } else {
            wrong(error)
        }
    })?;
    String::from_utf8(output.0).map_err(|error| TemplateError::Wrong(error.to_string()))
}

fn environment(context: &Context) -> Result<Environment<'static>, TemplateError> {
    let mut environment = Environment::empty();
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(wrong)?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    filters::add(&mut environment);
    let config = context.config.clone();
    environment.add_function("config_get", move |key: String, default: Option<Value>| {
        match config.get(&key).filter(|value| !value.is_empty()) {
            Some(value) => Value::from(value.trim_end_matches(['\r', '\n'])),
            None => default.unwrap_or_default(),
        }
    });
    Ok(environment)
}

fn wrong(error: minijinja::Error) -> TemplateError {
    TemplateError::Wrong(error.to_string())
}

/// Collects a result up to [`OUTPUT_LIMIT`].
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = OUTPUT_LIMIT - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            return Err(io::Error::other("the result is too long"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
