//! Templates as images have them, and hostile ones.

use super::*;

fn context() -> Context {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    Context {
        trigger: "create".into(),
        path: "/etc/t1".into(),
        instance: map(&[("name", "t1"), ("architecture", "x86_64"), ("privileged", "false")]),
        config: map(&[("user.set", "val\r\n"), ("user.b", "c")]),
        devices: [("root".to_owned(), map(&[("type", "disk")]))].into(),
        properties: map(&[("foo", "bar"), ("default", "dflt")]),
    }
}

fn text(source: &str) -> String {
    render(source, &context()).unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// The right sides were taken from a running server of the manual's kind.
#[test]
fn renders_as_the_reference() {
    for (source, expected) in [
        ("no newline {{ instance.name }}", "no newline t1"),
        ("{{ container.name }}\n", "t1\n"),
        ("{{instance.privileged}} {{ trigger }} {{ path }}", "false create /etc/t1"),
        ("{{ properties.default|upper }}", "DFLT"),
        ("{{ config_get(\"user.foo\", \"unset\") }}", "unset"),
        ("{{ config_get(\"user.set\", properties.default) }}", "val"),
        ("cfg={{ config.user }} {{ config|length }}", "cfg= 2"),
        ("{% for k, v in properties %}{{k}}={{v}};{% endfor %}", "default=dflt;foo=bar;"),
        ("{% for k in properties %}{{k}},{% endfor %}", "default,foo,"),
        ("{% for n, d in devices %}{{n}}:{{d.type}};{% endfor %}", "root:disk;"),
        ("{% if config_get(\"user.set\",\"\") == \"\" %}empty{% else %}set{% endif %}\n", "set\n"),
        ("set\n{%- if true && !false %} yes {%- endif %}", "set yes"),
        ("{{ \"a<b\"|safe }} {{ \"a<b\" }} {{ missing }} {{ missing.deep }} {{ 5|add:3 }}", "a<b a<b   8"),
        ("{{ \"x\"|default:\"y\" }} {{ \"\"|default:\"z\" }} {{ true }}", "x z True"),
        ("{# comment #}end", "end"),
        ("{% comment %}{{ x }}{% if %}{% endcomment %}end", "end"),
        ("{% autoescape off %}<{{ \"}}\" }}{% endautoescape %}", "<}}"),
        ("a { b } {", "a { b } {"),
    ] {
        assert_eq!(text(source), expected, "{source}");
    }
}

#[test]
fn files_cannot_be_reached() {
    for source in [
        "{% include \"/etc/passwd\" %}",
        "{%- include '/etc/passwd' -%}",
        "{% ssi \"/etc/passwd\" %}",
        "{% extends \"/etc/passwd\" %}",
        "{% import \"/etc/passwd\" x %}",
        "{% from \"x\" import y %}",
    ] {
        assert!(matches!(render(source, &context()), Err(TemplateError::Forbidden(_))), "{source}");
    }
    for source in
        ["{{ include(\"/etc/passwd\") }}", "{{ x|nofilter }}", "{{ broken", "{% for %}", "{{ \"open }}"]
    {
        assert!(render(source, &context()).is_err(), "{source}");
    }
}

#[test]
fn endless_work_ends() {
    let list = "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"";
    let many = format!("[{}]", vec![list; 500].join(","));
    let loops = format!(
        "{{% for a in {many} %}}{{% for b in {many} %}}{{% for c in {many} %}}{{{{ c }}}}\
        {{% endfor %}}{{% endfor %}}{{% endfor %}}"
    );
    let start = std::time::Instant::now();
    assert!(render(&loops, &context()).is_err());
    assert!(start.elapsed().as_secs() < 5);
    assert!(render(&"{{ path }}".repeat(200_000), &context()).is_err());
    assert!(render(&format!("{{{{ {} }}}}", "(".repeat(50_000)), &context()).is_err());
}

#[test]
fn any_text_is_survived() {
    proptest::proptest!(|(text in "[{}%#|:\"'!&a-z .()\\-]{0,40}")| {
        let _ = render(&text, &context());
    });
}
