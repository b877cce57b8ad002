use super::*;
use crate::status;
use std::sync::Mutex;

struct Fixed(Mutex<Snapshot>);

impl Watch for Fixed {
    async fn look(&self) -> Snapshot {
        self.0.lock().unwrap().clone()
    }
}

async fn run(now: Snapshot) -> (SocketAddr, Arc<Fixed>) {
    let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, watch) = (listener.local_addr().unwrap(), Arc::new(Fixed(Mutex::new(now))));
    tokio::spawn(serve(listener, watch.clone(), std::future::pending()));
    (address, watch)
}

/// Status line and body of a raw exchange.
async fn exchange(address: SocketAddr, host: &str, path: &str) -> (String, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let question = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn addresses_that_others_can_reach_are_refused() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464", "[2001:db8::1]:9464"] {
        let refused = listen(address.parse().unwrap()).await.unwrap_err();
        assert_eq!(refused.code, trouble::NOT_LOOPBACK, "{address}");
    }
    let first = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let again = listen(first.local_addr().unwrap()).await.unwrap_err();
    assert_eq!(again.code, trouble::LISTEN);
}

#[tokio::test]
async fn health_readiness_and_metrics_over_a_socket() {
    let (address, watch) = run(Snapshot::default()).await;
    let host = address.to_string();
    let ask = async |path: &str| exchange(address, &host, path).await;
    assert_eq!(
        ask("/healthz").await,
        ("HTTP/1.1 200 OK".into(), "alive\n".into())
    );
    assert_eq!(ask("/readyz").await, ("HTTP/1.1 200 OK".into(), "ready\n".into()));
    assert!(ask("/metrics").await.1.contains("\naidmesh_relay_ready 1\n"));
    watch.0.lock().unwrap().not_ready = Some("the store cannot save");
    let (line, body) = ask("/readyz").await;
    assert_eq!(
        (line.as_str(), body.as_str()),
        ("HTTP/1.1 503 Service Unavailable", "the store cannot save\n")
    );
    assert_eq!(ask("/healthz").await.0, "HTTP/1.1 200 OK");
    assert!(ask("/metrics").await.1.contains("\naidmesh_relay_ready 0\n"));
    assert_eq!(ask("/").await.0, "HTTP/1.1 404 Not Found");
}

#[tokio::test]
async fn a_page_in_a_browser_does_not_get_at_it_by_a_name_of_its_own() {
    let (address, _) = run(Snapshot::default()).await;
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:80",
        "192.0.2.1",
        "",
    ] {
        assert_eq!(
            exchange(address, host, "/metrics").await.0,
            "HTTP/1.1 403 Forbidden",
            "{host}"
        );
    }
    for host in ["localhost", "localhost:9464", "127.0.0.1", "[::1]:9464", "[::1]"] {
        assert_eq!(
            exchange(address, host, "/metrics").await.0,
            "HTTP/1.1 200 OK",
            "{host}"
        );
    }
}

#[tokio::test]
async fn status_asks_and_says_clearly_when_nobody_is_there() {
    let (address, watch) = run(Snapshot::default()).await;
    let status = status::ask(address).await.unwrap();
    assert_eq!(status["ready"], true);
    assert!(status.get("kept").is_none());
    assert!(status::screen(&status).starts_with(concat!(
        "Relay ",
        env!("CARGO_PKG_VERSION"),
        ". Takes items.\n"
    )));
    *watch.0.lock().unwrap() = Snapshot {
        not_ready: Some("the store cannot save"),
        holdings: Some(Default::default()),
        uptime_s: 7300,
        ..Snapshot::default()
    };
    let screen = status::screen(&status::ask(address).await.unwrap());
    assert!(
        screen.contains("Takes nothing: the store cannot save."),
        "{screen}"
    );
    assert!(
        screen.contains("up          2 h 1 min") && screen.lines().count() < 24,
        "{screen}"
    );

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = silent.local_addr().unwrap();
    drop(silent);
    assert_eq!(status::ask(free).await.unwrap_err().code, trouble::NOT_RUNNING);
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = other.local_addr().unwrap();
    tokio::spawn(
        async move { axum::serve(other, Router::new().route("/status", get(async || "hello"))).await },
    );
    let refused = status::ask(elsewhere).await.unwrap_err();
    assert!(refused.how.contains("something else"), "{refused}");
}
