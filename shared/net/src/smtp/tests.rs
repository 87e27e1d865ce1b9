//! Mail against a small SMTP server on this machine.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use app::ports::{Address, Content, Delivery, MailServer, Messenger as _, Secret, Smtp, Tls as MailTls};
use model::Timestamp;

use super::*;
use crate::{NetMessenger, SmtpCredentials};

/// A server that takes one mail; `answers` replaces what it says to some commands. Gives all it heard.
fn serve(answers: &[(&'static str, &'static str)]) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let answers: BTreeMap<&str, &str> = answers.iter().copied().collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut heard = Vec::new();
        let mut in_data = false;
        write!(stream, "{}\r\n", answers.get("greeting").unwrap_or(&"220 test")).unwrap();
        while let Some(Ok(line)) = lines.next() {
            let command = line.split([' ', ':']).next().unwrap_or("").to_owned();
            heard.push(line.clone());
            let answer = match (in_data, command.as_str()) {
                (true, ".") => {
                    in_data = false;
                    answers.get("end").unwrap_or(&"250 taken")
                }
                (true, _) => continue,
                (false, "DATA") => {
                    in_data = true;
                    answers.get("DATA").unwrap_or(&"354 go on")
                }
                (false, "EHLO") => answers.get("EHLO").unwrap_or(&"250-test\r\n250 8BITMIME"),
                (false, "AUTH") => answers.get("AUTH").unwrap_or(&"235 welcome"),
                (false, command) => answers.get(command).unwrap_or(&"250 fine"),
            };
            if write!(stream, "{answer}\r\n").is_err() || command == "QUIT" {
                break;
            }
        }
        heard
    });
    (address, heard)
}

fn settings() -> NetSettings {
    NetSettings { allow_loopback: true, timeout: Duration::from_secs(5), ..NetSettings::new("/nowhere") }
}

fn mail(smarthost: &str) -> Delivery {
    Delivery {
        idempotency_key: "key-1".to_owned(),
        address: Address::Email {
            from: "mihari@example.com".to_owned(),
            to: vec!["ops@example.com".to_owned(), "dev@example.com".to_owned()],
            server: Some(Box::new(MailServer { smarthost: smarthost.to_owned(), smtp: Smtp::default() })),
        },
        content: Content::Email {
            subject: "【警告】CPU".to_owned(),
            text: "高い\n.\n行".to_owned(),
            html: "<p>高い</p>".to_owned(),
            headers: BTreeMap::new(),
            thread: None,
        },
        time: Timestamp::from_secs(1_700_000_000),
    }
}

#[tokio::test]
async fn a_mail_is_handed_to_the_server() {
    let (address, heard) = serve(&[]);
    let receipt = NetMessenger::new(settings()).deliver(&mail(&address.to_string())).await.unwrap();
    assert_eq!(receipt.note, "SMTP 250");
    let heard = heard.join().unwrap();
    assert_eq!(heard[0], "EHLO example.com");
    for expected in ["RCPT TO:<ops@example.com>", "RCPT TO:<dev@example.com>", "Auto-Submitted: auto-generated"] {
        assert!(heard.iter().any(|line| line == expected), "{expected} in {heard:#?}");
    }
    assert!(heard[1].starts_with("MAIL FROM:<mihari@example.com>"), "{}", heard[1]);
    let ids: Vec<&String> = heard.iter().filter(|line| line.starts_with("Message-ID: ")).collect();
    assert_eq!(ids, ["Message-ID: <fecc461840361c0df5a431587f80f2df@example.com>"], "XXH3-128 of key-1");
}

#[tokio::test]
async fn each_answer_asks_for_something_else() {
    let cases = [
        ("RCPT", "550 <ops@example.com> unknown", ErrorKind::Invalid, "the mail server refuses with 550"),
        ("MAIL", "451 later", ErrorKind::Throttled, "the mail server asks to try later with 451"),
        ("end", "452 full", ErrorKind::Throttled, "the mail server asks to try later with 452"),
        ("end", "554 spam", ErrorKind::Invalid, "the mail server refuses with 554"),
        ("greeting", "421 closing", ErrorKind::Throttled, "the mail server asks to try later with 421"),
    ];
    for (command, answer, kind, text) in cases {
        let (address, _heard) = serve(&[(command, answer)]);
        let error = NetMessenger::new(settings()).deliver(&mail(&address.to_string())).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (kind, format!("messenger deliver: {text}")), "{answer}");
    }
}

#[tokio::test]
async fn a_name_and_a_password_log_in() {
    let login = SmtpCredentials { username: "mihari".to_owned(), password: "secret".to_owned() };
    let settings = NetSettings { smtp_credentials: Some(login), ..settings() };
    assert!(!format!("{settings:?}").contains("secret"));
    let (address, heard) = serve(&[("EHLO", "250-test\r\n250 AUTH PLAIN")]);
    NetMessenger::new(settings.clone()).deliver(&mail(&address.to_string())).await.unwrap();
    // "\0mihari\0secret" in base64.
    assert!(heard.join().unwrap().contains(&"AUTH PLAIN AG1paGFyaQBzZWNyZXQ=".to_owned()));
    let (address, _heard) = serve(&[("EHLO", "250-test\r\n250 AUTH PLAIN"), ("AUTH", "535 wrong")]);
    let error = NetMessenger::new(settings).deliver(&mail(&address.to_string())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

fn mail_by(smarthost: &str, smtp: Smtp) -> Delivery {
    let delivery = mail(smarthost);
    let Address::Email { from, to, .. } = delivery.address else { panic!("it is a mail") };
    let server = Some(Box::new(MailServer { smarthost: smarthost.to_owned(), smtp }));
    Delivery { address: Address::Email { from, to, server }, ..delivery }
}

#[tokio::test]
async fn a_receivers_own_settings_come_before_the_hosts() {
    let hosts = SmtpCredentials { username: "host".to_owned(), password: "other".to_owned() };
    let settings = NetSettings { smtp_credentials: Some(hosts), ..settings() };
    let smtp = Smtp {
        hello: Some("desk.example.com".to_owned()),
        username: Some("mihari".to_owned()),
        password: Some(Secret::new("secret")),
        ..Smtp::default()
    };
    let (address, heard) = serve(&[("EHLO", "250-test\r\n250 AUTH PLAIN")]);
    NetMessenger::new(settings.clone()).deliver(&mail_by(&address.to_string(), smtp)).await.unwrap();
    let heard = heard.join().unwrap();
    assert_eq!(heard[0], "EHLO desk.example.com");
    assert!(heard.contains(&"AUTH PLAIN AG1paGFyaQBzZWNyZXQ=".to_owned()), "{heard:#?}");
    // This server offers no TLS: who wants it anyway sends nothing.
    let (address, heard) = serve(&[]);
    let smtp = Smtp { require_tls: Some(true), ..Smtp::default() };
    let error = NetMessenger::new(settings.clone()).deliver(&mail_by(&address.to_string(), smtp)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!heard.join().unwrap().iter().any(|line| line.starts_with("MAIL")));
    let pem = |text: &str| Some(Secret::new(text));
    let broken = [
        MailTls { ca: pem("-----BEGIN CERTIFICATE-----\ngeheim\n-----END CERTIFICATE-----"), ..MailTls::default() },
        MailTls { cert: pem("geheim"), key: pem("geheim"), ..MailTls::default() },
    ];
    for tls in broken {
        let smtp = Smtp { tls, ..Smtp::default() };
        let error = NetMessenger::new(settings.clone()).deliver(&mail_by("127.0.0.1:1", smtp)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("`tls_config`") && !error.to_string().contains("geheim"), "{error}");
    }
}

#[tokio::test]
async fn a_server_must_be_reachable_and_allowed() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let outside = NetSettings { allow_loopback: false, ..settings() };
    let cases = [
        (settings(), free.as_str(), ErrorKind::Unavailable),
        (outside, free.as_str(), ErrorKind::Invalid),
        (settings(), "169.254.169.254:25", ErrorKind::Invalid),
        (settings(), "mail.invalid:25", ErrorKind::Unavailable),
        (settings(), "", ErrorKind::Invalid),
        (settings(), ":25", ErrorKind::Invalid),
        (settings(), "mail.example.com:port", ErrorKind::Invalid),
        (settings(), "mail.example.com:99999", ErrorKind::Invalid),
        (settings(), "a b:25", ErrorKind::Invalid),
    ];
    for (settings, smarthost, kind) in cases {
        let error = NetMessenger::new(settings).deliver(&mail(smarthost)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{smarthost:?}: {error}");
    }
}

#[test]
fn tls_is_required_but_on_this_machine_or_as_the_receiver_says() {
    let host = Host::Domain("mail.example.com".to_owned());
    let name = |port, on_this_machine, smtp: &Smtp, wanted| {
        let server = MailServer { smarthost: String::new(), smtp: smtp.clone() };
        match tls(&host, port, on_this_machine, &server, wanted).unwrap() {
            Tls::None => "none",
            Tls::Opportunistic(_) => "if offered",
            Tls::Required(_) => "required",
            Tls::Wrapper(_) => "from the first byte",
        }
    };
    let plain = Smtp::default();
    let requires = |require_tls| Smtp { require_tls: Some(require_tls), ..Smtp::default() };
    let wraps = |implicit_tls| Smtp { implicit_tls: Some(implicit_tls), ..Smtp::default() };
    let cases = [
        (587, false, &plain, SmtpTls::Required, "required"),
        (587, true, &plain, SmtpTls::Required, "none"),
        (25, false, &plain, SmtpTls::IfOffered, "if offered"),
        (465, false, &plain, SmtpTls::IfOffered, "from the first byte"),
        (465, true, &plain, SmtpTls::Required, "from the first byte"),
        (587, true, &requires(true), SmtpTls::IfOffered, "required"),
        (587, false, &requires(false), SmtpTls::Required, "none"),
        (465, false, &wraps(false), SmtpTls::Required, "required"),
        (587, true, &wraps(true), SmtpTls::Required, "from the first byte"),
    ];
    for (port, on_this_machine, smtp, wanted, expected) in cases {
        assert_eq!(name(port, on_this_machine, smtp, wanted), expected, "{port} {on_this_machine} {wanted:?} {smtp:?}");
    }
}

#[test]
fn servers_are_named_with_or_without_a_port() {
    let cases = [
        ("mail.example.com:587", Some(("mail.example.com", 587))),
        ("mail.example.com", Some(("mail.example.com", 25))),
        ("[::1]:2525", Some(("[::1]", 2525))),
        ("[::1]", Some(("[::1]", 25))),
        ("", None),
        (":25", None),
        ("a:b", None),
    ];
    for (smarthost, expected) in cases {
        assert_eq!(split(smarthost), expected, "{smarthost:?}");
    }
}
