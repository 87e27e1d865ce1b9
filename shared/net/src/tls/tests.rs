//! Servers of this machine whose certificates nobody knows, proxies, and redirects.

use std::time::Duration;

use app::ports::{Address, Connection, Content, Delivery, Messenger as _, Receipt};
use model::Timestamp;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;

use super::*;
use crate::testing::{Server, answer};
use crate::{NetMessenger, NetSettings};

/// An authority that only these tests know.
const CA: &str = "-----BEGIN CERTIFICATE-----
MIIBhTCCASugAwIBAgIURubIt7SHeYw/TkKbaKAIUYSA5bswCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMTWloYXJpIHRlc3RzMCAXDTI2MTEyMzA2NDU1OVoYDzIxMjYx
MDMwMDY0NTU5WjAXMRUwEwYDVQQDDAxNaWhhcmkgdGVzdHMwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAARJoCo4kKNfmGSy27REgd5tgqnicTUV9p4wtTJy9sT1m9ma
S5mmajf5YlbklgG2NUtfw+U465Jmr+GNMMj5/k/Xo1MwUTAdBgNVHQ4EFgQUSRhg
sKNNxQCbKvLOOqCZaspLGqgwHwYDVR0jBBgwFoAUSRhgsKNNxQCbKvLOOqCZaspL
GqgwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAnCmQ5SK7e15v
ac7hlbgwhFNavqjlpazkA2Hf0lNTuZwCIHdT4lUb1D+J+h/0+bSdXXGQRVQHTMLn
Y01gWZKQueRR
-----END CERTIFICATE-----\n";
/// A certificate of `localhost` from it, for servers and clients, until 2120.
const CERT: &str = "-----BEGIN CERTIFICATE-----
MIIBpzCCAUygAwIBAgIBATAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxNaWhhcmkg
dGVzdHMwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNV
BAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOD04RtBDPhS
9wixgVpJ766Nam5dUHXmS/va5tp1QtQPuNSgUAB+6MxpnEWImfMCPR6syjU2xxCa
RJ9MtSRjKxijgYkwgYYwGgYDVR0RBBMwEYIJbG9jYWxob3N0hwR/AAABMB0GA1Ud
JQQWMBQGCCsGAQUFBwMBBggrBgEFBQcDAjAJBgNVHRMEAjAAMB0GA1UdDgQWBBT4
2G5KrUQ2M12idyRw9cZQahRapjAfBgNVHSMEGDAWgBRJGGCwo03FAJsq8s46oJlq
yksaqDAKBggqhkjOPQQDAgNJADBGAiEArYqV9nVHMKiDlKyiOb4Q4jyrJtzaEsEs
5aMMqgO+KyICIQDSHxIt8OIO/WpwzEf2MtV/T6TK8PUtci+UVzaRf0lLbQ==
-----END CERTIFICATE-----\n";
/// Its key.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgVmcqnNptOrnYLGAh
2LrYOovMGb7sypTGXED4RmWAoTmhRANCAATg9OEbQQz4UvcIsYFaSe+ujWpuXVB1
5kv72ubadULUD7jUoFAAfujMaZxFiJnzAj0erMo1NscQmkSfTLUkYysY
-----END PRIVATE KEY-----\n";

fn pem(text: &str) -> Option<Secret> {
    Some(Secret::new(text))
}

fn chain(text: &str) -> Vec<CertificateDer<'static>> {
    certificates(&Secret::new(text), "none").unwrap()
}

/// A server that shows [`CERT`], and may want to be shown one of [`CA`]. It takes one connection.
fn server(wants_certificate: bool) -> Server {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(chain(CA).remove(0)).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let builder = match wants_certificate {
        true => builder.with_client_cert_verifier(verifier),
        false => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let config = builder.with_single_cert(chain(CERT), key).unwrap();
    Server::over_tls(Arc::new(config), vec![answer("200 OK", "", "ok")])
}

async fn post(url: &str, connection: Connection) -> PortResult<Receipt> {
    let settings =
        NetSettings { allow_loopback: true, timeout: Duration::from_secs(5), ..NetSettings::new("/nowhere") };
    let connection = Some(Box::new(connection));
    let delivery = Delivery {
        idempotency_key: "key".to_owned(),
        address: Address::Webhook { url: Secret::new(url), headers: Vec::new(), connection },
        content: Content::Json("{}".to_owned()),
        time: Timestamp::default(),
    };
    NetMessenger::new(settings).deliver(&delivery).await
}

fn over(tls: Tls) -> Connection {
    Connection { tls, ..Connection::default() }
}

#[tokio::test]
async fn a_server_is_trusted_as_the_receiver_says() {
    let nothing = Tls::default;
    let own_ca = || Tls { ca: pem(CA), ..nothing() };
    let cases = [
        ("nobody knows the authority", false, nothing(), false),
        ("the receiver does", false, own_ca(), true),
        ("any certificate will do", false, Tls { skips_verification: true, ..nothing() }, true),
        ("and over 1.3", false, Tls { only_1_3: true, ..own_ca() }, true),
        ("it wants to see one", true, own_ca(), false),
        ("it is shown one", true, Tls { cert: pem(CERT), key: pem(KEY), ..own_ca() }, true),
    ];
    for (what, wants_certificate, tls, arrives) in cases {
        let server = server(wants_certificate);
        let url = format!("https://localhost:{}/hook", server.address.port());
        let posted = post(&url, over(tls)).await;
        assert_eq!(posted.is_ok(), arrives, "{what}: {posted:?}");
        assert_eq!(server.requests().len(), usize::from(arrives), "{what}");
    }
}

#[test]
fn with_an_authority_of_its_own_a_receiver_trusts_no_other() {
    let both = format!("{CA}{CA}");
    assert_eq!(roots(&Tls { ca: pem(&both), ..Tls::default() }).unwrap().len(), 2);
    assert!(roots(&Tls::default()).unwrap().len() > 100);
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_without_repeating_it() {
    let broken = [
        Tls { ca: pem("geheim"), ..Tls::default() },
        Tls { cert: pem("geheim"), key: pem(KEY), ..Tls::default() },
        Tls { cert: pem(CERT), key: pem("geheim"), ..Tls::default() },
    ];
    for tls in broken {
        let error = post("https://localhost:1/", over(tls)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("`tls_config`") && !error.to_string().contains("geheim"), "{error}");
    }
}

#[tokio::test]
async fn requests_go_through_the_proxy_and_its_address_is_the_one_that_is_checked() {
    let proxy = Server::start(vec![answer("200 OK", "", "ok"), answer("403 Forbidden", "", "")]);
    let through = |proxy: String| Connection { proxy: pem(&proxy), ..Connection::default() };
    let with_password = format!("http://aiko:geheim@{}", proxy.address);
    // `.invalid` is no name of anything: only the proxy may look for it.
    post("http://hook.invalid/in?a=b", through(with_password.clone())).await.unwrap();
    let error = post("https://hook.invalid/secret", through(with_password)).await.unwrap_err();
    assert!(!error.to_string().contains("geheim") && !error.to_string().contains("secret"), "{error}");
    let requests = proxy.requests();
    assert!(requests[0].starts_with("POST http://hook.invalid/in?a=b HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[0].to_lowercase().contains("\r\nproxy-authorization: basic yw"), "{}", requests[0]);
    assert!(requests[1].starts_with("CONNECT hook.invalid:443 HTTP/1.1\r\n"), "{}", requests[1]);
    let error = post("http://127.0.0.1:1/", through("http://0.0.0.0:1".to_owned())).await.unwrap_err();
    assert!(error.to_string().contains("outbound calls must not reach"), "{error}");
    let error = post("http://127.0.0.1:1/", through("ftp://geheim".to_owned())).await.unwrap_err();
    assert!(error.to_string().ends_with("`proxy_url` is not a URL of http or https"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_a_refusal_where_none_is_followed() {
    for (refuses_redirects, asked) in [(false, 2), (true, 1)] {
        let server = Server::knowing(|address| {
            let moved = format!("location: http://{address}/there\r\n");
            vec![answer("307 Temporary Redirect", &moved, ""), answer("200 OK", "", "")]
        });
        let posted = post(&server.url("/here"), Connection { refuses_redirects, ..Connection::default() }).await;
        assert_eq!(posted.is_ok(), !refuses_redirects, "{posted:?}");
        assert_eq!(server.requests().len(), asked);
    }
}
