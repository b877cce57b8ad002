use super::*;
use std::net::Ipv4Addr;

const ALPN: &[u8] = b"ask-test/1";
const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn key(n: u8) -> KeyPair {
    KeyPair::from_seed(&[n; 32])
}

fn listener() -> (Listener, String) {
    let listener = Listener::bind(HERE, &key(1), ALPN, 100).unwrap();
    let address = listener.local_address().unwrap().to_string();
    (listener, address)
}

async fn ask_as(n: u8, address: &str, pinned: u8, question: &[u8]) -> Result<Vec<u8>, AskError> {
    let whom = Whom {
        address,
        key: key(pinned).public(),
        alpn: ALPN,
    };
    ask(&key(n), whom, question, 1000, Duration::from_secs(5)).await
}

#[tokio::test]
async fn a_question_is_answered_and_the_asker_is_known() {
    let (mut listener, address) = listener();
    let desk = async {
        let question = listener.next().await.unwrap();
        assert_eq!(
            (&question.bytes[..], question.from),
            (&b"who"[..], key(2).public())
        );
        assert!(question.waits());
        question.answer(b"me").await
    };
    let (answer, delivered) = tokio::join!(ask_as(2, &address, 1, b"who"), desk);
    assert_eq!((answer.as_deref(), delivered), (Ok(&b"me"[..]), true));
}

#[tokio::test]
async fn another_key_is_not_asked() {
    let (mut listener, address) = listener();
    assert_eq!(ask_as(2, &address, 3, b"who").await, Err(AskError::OtherKey));
    assert!(timeout(Duration::from_millis(50), listener.next()).await.is_err());
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let (_listener, address) = listener();
    let whom = Whom {
        address: &address,
        key: key(1).public(),
        alpn: b"other/1",
    };
    let answer = ask(&key(2), whom, b"who", 10, Duration::from_secs(5)).await;
    assert_eq!(answer, Err(AskError::NotListening));
}

#[tokio::test]
async fn long_questions_and_answers_end_the_connection() {
    let (mut listener, address) = listener();
    let long = [0; 101];
    assert_eq!(ask_as(2, &address, 1, &long).await, Err(AskError::Lost));
    let desk = async { listener.next().await.unwrap().answer(&[0; 1001]).await };
    let (answer, delivered) = tokio::join!(ask_as(2, &address, 1, &long[..100]), desk);
    assert_eq!((answer, delivered), (Err(AskError::TooLong), false));
}

#[tokio::test]
async fn who_waits_keeps_nobody_from_asking_and_who_left_is_passed_over() {
    let (mut listener, address) = listener();
    let left = tokio::spawn({
        let address = address.clone();
        async move { ask_as(2, &address, 1, b"left").await }
    });
    let first = listener.next().await.unwrap();
    assert_eq!(first.bytes, b"left");
    left.abort();
    let _ = left.await;
    let desk = async { listener.next().await.unwrap().answer(b"yes").await };
    let (answer, _) = tokio::join!(ask_as(3, &address, 1, b"here"), desk);
    assert_eq!(answer.as_deref(), Ok(&b"yes"[..]));
    assert!(!first.answer(b"too late").await);
}

#[tokio::test]
async fn an_answer_has_its_time() {
    let (mut listener, address) = listener();
    let whom = Whom {
        address: &address,
        key: key(1).public(),
        alpn: ALPN,
    };
    let own = key(2);
    let (answer, question) = tokio::join!(
        ask(&own, whom, b"who", 10, Duration::from_millis(200)),
        listener.next()
    );
    assert_eq!(answer, Err(AskError::Late));
    assert!(question.is_some());
}

/// Strangers that ask, are answered and stay do not keep the seats.
#[tokio::test]
async fn seats_come_back() {
    let (mut listener, address) = listener();
    let desk = async {
        for _ in 0..ASKERS + 1 {
            drop(listener.next().await.unwrap());
        }
    };
    let askers = async {
        let mut kept = vec![];
        for _ in 0..ASKERS + 1 {
            let config = tls::client_config(&key(2), key(1).public(), ALPN);
            let resolver = Arc::new(Resolver::new(&address));
            let connection = connect(resolver, config, Arc::default()).await.unwrap();
            let (mut out, back) = connection.open_bi().await.unwrap();
            out.write_all(b"who").await.unwrap();
            out.finish().unwrap();
            connection.closed().await;
            kept.push((connection, back));
        }
    };
    let both = async { tokio::join!(desk, askers) };
    timeout(Duration::from_secs(20), both).await.unwrap();
}
