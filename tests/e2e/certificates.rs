//! Certificates of clients: bad ones, edited ones, those of an authority; addresses that a proxy tells; pages of other
//! origins.

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

use crate::tls::{ADDRESS, Client, Pair, listen, openssl, trust};

/// Makes an authority, and a certificate that it signs with these extensions, from and to these dates.
struct Authority {
    pair: Pair,
}

impl Authority {
    fn make(daemon: &Daemon) -> Self {
        let pair = Pair::make(daemon, "authority", &["-addext", "basicConstraints=critical,CA:TRUE"]);
        let dir = daemon.scratch();
        std::fs::write(dir.join("index.txt"), "").unwrap();
        std::fs::write(dir.join("ca.cnf"), CONFIG.replace("DIR", dir.to_str().unwrap())).unwrap();
        Self { pair }
    }

    fn run(&self, daemon: &Daemon, args: &[&str]) {
        let config = daemon.scratch().join("ca.cnf");
        let mut command = daemon.netns.command("openssl");
        command.args(["ca", "-batch", "-notext", "-config"]).arg(config).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn sign(&self, daemon: &Daemon, name: &str, dates: (&str, &str), usage: &str) -> Pair {
        let pair = Pair::at(daemon, name);
        let subject = format!("/CN={name}");
        let request = Pair { certificate: daemon.scratch().join("request"), key: pair.key.clone() };
        let args = [
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-384",
            "-nodes",
            "-subj",
            &subject,
        ];
        openssl(daemon, &args, &request);
        let extensions = daemon.scratch().join("extensions");
        std::fs::write(&extensions, format!("extendedKeyUsage={usage}\n")).unwrap();
        let paths = [&request.certificate, &pair.certificate, &extensions]
            .map(|path| path.to_str().unwrap().to_owned());
        self.run(
            daemon,
            &[
                "-in",
                &paths[0],
                "-out",
                &paths[1],
                "-extfile",
                &paths[2],
                "-startdate",
                dates.0,
                "-enddate",
                dates.1,
            ],
        );
        pair
    }

    /// Revokes certificates; the list of them goes to `file`.
    fn revoke(&self, daemon: &Daemon, pairs: &[&Pair], file: &std::path::Path) {
        for pair in pairs {
            self.run(daemon, &["-revoke", pair.certificate.to_str().unwrap()]);
        }
        self.run(daemon, &["-gencrl", "-out", file.to_str().unwrap()]);
    }
}

/// `openssl ca` wants a file for everything.
const CONFIG: &str = "[ca]\ndefault_ca=own\n[own]\ndatabase=DIR/index.txt\nnew_certs_dir=DIR\nrand_serial=yes\n\
certificate=DIR/authority.crt\nprivate_key=DIR/authority.key\ndefault_md=sha384\npolicy=any\ndefault_crl_days=30\n\
unique_subject=no\n[any]\ncommonName=supplied\n";

const NOW: (&str, &str) = ("20200101000000Z", "20490101000000Z");
const PAST: (&str, &str) = ("20200101000000Z", "20210101000000Z");
const FUTURE: (&str, &str) = ("20400101000000Z", "20490101000000Z");

/// The time in so many seconds, as openssl wants it.
fn in_seconds(daemon: &Daemon, seconds: u32) -> String {
    let mut command = daemon.netns.command("date");
    let output = command.args(["-u", &format!("-d+{seconds} seconds"), "+%Y%m%d%H%M%SZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn auth(client: &mut Client) -> String {
    let reply = client.get("/1.0");
    reply.json()["metadata"]["auth"].as_str().unwrap_or("no connection").to_owned()
}

#[test]
fn bad_certificates_open_nothing() {
    let daemon = Daemon::start();
    listen(&daemon);
    let authority = Authority::make(&daemon);
    let good = authority.sign(&daemon, "good", NOW, "clientAuth");
    let url = trust(&daemon, &good, &json!({}));
    assert_eq!(auth(&mut Client::start(&daemon, Some(&good))), "trusted");
    let body = |pair: &Pair| json!({"type": "client", "certificate": pair.base64()});
    for (name, dates, text) in [("past", PAST, "is expired"), ("future", FUTURE, "isn't valid yet")] {
        let pair = authority.sign(&daemon, name, dates, "clientAuth");
        let error = daemon.fails("POST", "/1.0/certificates", &body(&pair));
        assert!(error.contains(text), "{name}: {error}");
    }
    // One that ends while it is trusted, and while its client keeps a connection.
    let soon = in_seconds(&daemon, 6);
    let short = authority.sign(&daemon, "soon", (NOW.0, &soon), "clientAuth");
    trust(&daemon, &short, &json!({}));
    let mut client = Client::start(&daemon, Some(&short));
    assert_eq!(client.get("/1.0/profiles").status, 200);
    wait_for("the end of the certificate", 20, || (client.get("/1.0/profiles").status == 403).then_some(()));
    assert_eq!(auth(&mut client), "untrusted");
    // One that is for servers only proves nothing about a client.
    let server = authority.sign(&daemon, "server", NOW, "serverAuth");
    let error = daemon.fails("POST", "/1.0/certificates", &body(&server));
    assert!(error.contains("not for clients"), "{error}");
    for (name, more, text) in [
        ("short", &["-newkey", "rsa:1024"][..], "RSA key is too weak (minimum of 2048bit)"),
        ("sha1", &["-newkey", "rsa:2048", "-sha1"], "weak signature"),
        ("md5", &["-newkey", "rsa:2048", "-md5"], "weak signature"),
    ] {
        let pair = Pair::make(&daemon, name, more);
        let error = daemon.fails("POST", "/1.0/certificates", &body(&pair));
        assert!(error.contains(text), "{name}: {error}");
        assert_ne!(auth(&mut Client::start(&daemon, Some(&pair))), "trusted");
    }
    let twice = daemon.fails("POST", "/1.0/certificates", &body(&good));
    assert_eq!(twice, "Certificate already in trust store");
    for bad in ["", "!!", "QUJD"] {
        daemon.fails("POST", "/1.0/certificates", &json!({"type": "client", "certificate": bad}));
    }
    assert_eq!(daemon.get(&url).metadata()["name"], "c");
    assert_eq!(daemon.get("/1.0/certificates").metadata().as_array().unwrap().len(), 2);
}

#[test]
fn certificates_are_edited_with_their_version_in_mind() {
    let daemon = Daemon::start();
    listen(&daemon);
    daemon.ok("POST", "/1.0/projects", &json!({"name": "p1"}));
    let (own, next) = (Pair::make(&daemon, "own", &[]), Pair::make(&daemon, "next", &[]));
    let url = trust(&daemon, &own, &json!({"restricted": true, "projects": ["p1"]}));
    let mut client = Client::start(&daemon, Some(&own));
    let shown = client.get(&url);
    let etag = shown.headers["etag"].as_str().unwrap().to_owned();
    let put = |etag: &str, fields: Value| json!({"method": "PUT", "path": url, "headers": {"If-Match": etag}, "body": fields});
    let mut fields = shown.json()["metadata"].clone();
    fields.as_object_mut().unwrap().remove("fingerprint");
    assert_eq!(client.send(&put("0000", fields.clone())).status, 412);
    for (change, value) in [
        ("restricted", json!(false)),
        ("projects", json!(["p1", "default"])),
        ("name", json!("x")),
        ("type", json!("server")),
    ] {
        let mut wanted = fields.clone();
        wanted[change] = value.clone();
        assert_eq!(client.send(&put(&etag, wanted)).status, 403, "{change}");
        assert_eq!(client.call("PATCH", &url, &json!({change: value})).status, 403, "{change}");
    }
    // It may renew its own key, and stays as limited as before.
    let renewed = client.call("PATCH", &url, &json!({"certificate": next.base64()}));
    assert_eq!(renewed.status, 200, "{renewed:?}");
    assert_eq!(client.get("/1.0/profiles?project=p1").status, 403);
    let mut client = Client::start(&daemon, Some(&next));
    assert_eq!(client.get("/1.0/profiles?project=p1").status, 200);
    assert_eq!(client.get("/1.0/profiles").status, 403);
    // The administrator's edits, with the right version and without one.
    let url = daemon.get("/1.0/certificates").metadata()[0].as_str().unwrap().to_owned();
    daemon.ok("PATCH", &url, &json!({"projects": ["default"]}));
    assert_eq!(client.get("/1.0/profiles").status, 200);
    assert_eq!(client.get("/1.0/profiles?project=p1").status, 403);
    daemon.ok("PUT", &url, &json!({"name": "new", "type": "client", "restricted": false, "projects": []}));
    assert_eq!(client.get("/1.0/certificates").status, 200);
}

#[test]
fn an_authority_vouches_for_clients() {
    let mut daemon = Daemon::start();
    listen(&daemon);
    let authority = Authority::make(&daemon);
    let [added, limited, signed, revoked, metrics] = ["added", "limited", "signed", "revoked", "metrics"]
        .map(|name| authority.sign(&daemon, name, NOW, "clientAuth"));
    let expired = authority.sign(&daemon, "expired", PAST, "clientAuth");
    let server = authority.sign(&daemon, "server", NOW, "serverAuth");
    let stranger = Pair::make(&daemon, "stranger", &[]);
    let url = trust(&daemon, &added, &json!({}));
    let limited_url = trust(&daemon, &limited, &json!({"restricted": true, "projects": []}));
    let metrics_url = trust(&daemon, &metrics, &json!({"type": "metrics"}));
    let other = Pair::make(&daemon, "other", &[]);
    let stranger_pem = std::fs::read_to_string(&other.certificate).unwrap();
    trust(&daemon, &stranger, &json!({}));
    trust(&daemon, &revoked, &json!({}));
    std::fs::copy(&authority.pair.certificate, daemon.lxd_dir().join("server.ca")).unwrap();
    authority.revoke(&daemon, &[&revoked], &daemon.lxd_dir().join("ca.crl"));
    daemon.restart();
    let check = |daemon: &Daemon, rows: &[(&str, &Pair, &str)]| {
        for (name, pair, expected) in rows {
            assert_eq!(&auth(&mut Client::start(daemon, Some(pair))), expected, "{name}");
        }
    };
    let always = [
        ("added", &added, "trusted"),
        ("limited", &limited, "trusted"),
        ("stranger", &stranger, "untrusted"),
        ("revoked", &revoked, "untrusted"),
        ("expired", &expired, "untrusted"),
        ("server", &server, "untrusted"),
    ];
    check(&daemon, &always);
    check(&daemon, &[("signed", &signed, "untrusted")]);
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.trust_ca_certificates": "true"}}));
    check(&daemon, &always);
    check(&daemon, &[("signed", &signed, "trusted")]);
    let mut client = Client::start(&daemon, Some(&limited));
    assert_eq!(client.get("/1.0/profiles").status, 403, "the limits of a certificate stay (security.md D2)");
    // Its limits do not go with its row, neither by a removal nor by another certificate in its place (a client that is
    // limited may do that itself), nor does a row of another type let it in.
    let refused = daemon.fails("DELETE", &limited_url, &Value::Null);
    assert!(refused.contains("ca.crl"), "{refused}");
    let put = json!({"name": "x", "type": "client", "restricted": true, "projects": [], "certificate": stranger_pem});
    assert!(daemon.fails("PUT", &limited_url, &put).contains("ca.crl"));
    check(&daemon, &[("metrics", &metrics, "untrusted")]);
    assert!(daemon.fails("DELETE", &metrics_url, &Value::Null).contains("ca.crl"));
    // A removed certificate is let in as any other of the authority, as the key says.
    daemon.ok("DELETE", &url, &Value::Null);
    check(&daemon, &[("added", &added, "trusted")]);
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.trust_ca_certificates": "false"}}));
    check(&daemon, &[("added", &added, "untrusted")]);
    // Who is not trusted without a row may lose it.
    daemon.ok("DELETE", &limited_url, &Value::Null);
    check(&daemon, &[("limited", &limited, "untrusted")]);
}

#[test]
fn a_trusted_proxy_tells_the_address() {
    let daemon = Daemon::start();
    listen(&daemon);
    daemon.ok(
        "PATCH",
        "/1.0",
        &json!({"config": {"core.https_trusted_proxy": "127.0.0.1", "core.trust_password": "sekret"}}),
    );
    let pair = Pair::make(&daemon, "c", &[]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let binary = |addresses: &[u8], family: u8| {
        let head = [b"\r\n\r\n\0\r\nQUIT\n\x21", &[family, 0, addresses.len() as u8][..], addresses].concat();
        hex(&head)
    };
    let six = [&[0xfd; 16][..], &[0; 16], &[4, 210, 32, 251]].concat();
    let tell = |before: &str| {
        let guess = json!({"type": "client", "password": "wrong"});
        let request = json!({"method": "POST", "path": "/1.0/certificates", "body": guess, "before": before});
        Client::start(&daemon, Some(&pair)).send(&request).status
    };
    for (before, address) in [
        (hex(b"PROXY TCP4 198.51.100.7 127.0.0.1 1234 8443\r\n"), "198.51.100.7"),
        (hex(b"PROXY TCP6 2001:db8::7 ::1 1234 8443\r\n"), "2001:db8::7"),
        (binary(&[203, 0, 113, 9, 127, 0, 0, 1, 4, 210, 32, 251], 0x11), "203.0.113.9"),
        (binary(&six, 0x21), "fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd"),
        (String::new(), "127.0.0.1"),
    ] {
        assert_eq!(tell(&before), 403, "{address}");
        let warnings = daemon.get("/1.0/warnings?recursion=1").metadata().to_string();
        assert!(
            warnings.contains(&format!("Failed authentication from {address}: ")),
            "{address}: {warnings}"
        );
    }
    for bad in [&b"PROXY TCP4 nonsense\r\n"[..], b"PROXY TCP4 198.51.100.7 127.0.0.1 1234 8443", &[b'P'; 300]]
    {
        assert_eq!(tell(&hex(bad)), 0, "{bad:?}");
    }
    // Others are not believed: for them the header is no TLS.
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.https_trusted_proxy": "127.0.0.2"}}));
    assert_eq!(tell(&hex(b"PROXY TCP4 198.51.100.8 127.0.0.1 1234 8443\r\n")), 0);
    assert!(!daemon.get("/1.0/warnings?recursion=1").metadata().to_string().contains("198.51.100.8"));
}

#[test]
fn pages_of_other_origins_get_what_the_keys_say() {
    let daemon = Daemon::start();
    listen(&daemon);
    let pair = Pair::make(&daemon, "c", &[]);
    trust(&daemon, &pair, &json!({}));
    let mut client = Client::start(&daemon, Some(&pair));
    let mut from = |method: &str, origin: &str| {
        client.send(&json!({"method": method, "path": "/1.0/profiles", "headers": {"Origin": origin}}))
    };
    assert_eq!(from("GET", "https://page.example").status, 403);
    assert_eq!(from("GET", &format!("https://{ADDRESS}")).status, 200);
    daemon.ok(
        "PATCH",
        "/1.0",
        &json!({"config": {
            "core.https_allowed_origin": "https://page.example",
            "core.https_allowed_methods": "GET, PUT",
            "core.https_allowed_headers": "Content-Type",
            "core.https_allowed_credentials": "true",
        }}),
    );
    for method in ["GET", "OPTIONS"] {
        let reply = from(method, "https://page.example");
        assert_eq!(reply.status, 200, "{method}");
        assert_eq!(reply.headers["access-control-allow-origin"], "https://page.example");
        assert_eq!(reply.headers["access-control-allow-methods"], "GET, PUT");
        assert_eq!(reply.headers["access-control-allow-headers"], "Content-Type");
        assert_eq!(reply.headers["access-control-allow-credentials"], "true");
    }
    assert_eq!(from("GET", "https://evil.example").status, 403);
}

#[test]
fn guesses_are_slow_and_counted() {
    let daemon = Daemon::start();
    listen(&daemon);
    let config = json!({"core.remote_token_expiry": "1M", "core.trust_password": "sekret"});
    daemon.ok("PATCH", "/1.0", &json!({"config": config}));
    let token = json!({"type": "client", "token": true, "name": "late"});
    let made = daemon.call("POST", "/1.0/certificates", &token).json();
    assert!(made["metadata"]["metadata"]["expiresAt"].is_string(), "{made}");
    let mut client = Client::start(&daemon, Some(&Pair::make(&daemon, "c", &[])));
    let guess = |password: &str| json!({"type": "client", "password": password});
    let begin = std::time::Instant::now();
    assert_eq!(client.call("POST", "/1.0/certificates", &guess("wrong")).status, 403);
    assert!(begin.elapsed() > std::time::Duration::from_millis(400), "a wrong guess is slow");
    let log = daemon.log();
    assert!(log.contains("Failed authentication from 127.0.0.1: wrong password or token"), "{log}");
    assert_eq!(client.call("POST", "/1.0/certificates", &guess("sekret")).status, 201);
    let warnings = daemon.get("/1.0/warnings?recursion=1").metadata();
    let failed = warnings.as_array().unwrap().iter().filter(|one| one["type"] == "Failed authentication");
    let failed: Vec<&Value> = failed.collect();
    assert_eq!((failed.len(), &failed[0]["count"]), (1, &json!(1)));
}
