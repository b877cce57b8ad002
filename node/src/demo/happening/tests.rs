//! Reading the relay's metrics, and counters over several lives of a process.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Lives, look, metric};

const METRICS: &str = "# HELP aidmesh_relay_items Items kept.\n\
    aidmesh_relay_items 12\n\
    aidmesh_relay_items_stored_total 40\n\
    aidmesh_relay_class_bytes{class=\"alarm\"} 1000\n\
    aidmesh_relay_class_bytes{class=\"clinical\"} 200\n\
    aidmesh_relay_class_bytes{class=\"bulk\"} 24\n\
    # EOF\n";

#[test]
fn samples_of_one_name_are_added() {
    assert_eq!(metric(METRICS, "aidmesh_relay_items"), Some(12));
    assert_eq!(metric(METRICS, "aidmesh_relay_class_bytes"), Some(1_224));
    assert_eq!(metric(METRICS, "aidmesh_relay"), None);
    assert_eq!(metric("aidmesh_relay_items many\n", "aidmesh_relay_items"), None);
}

#[test]
fn a_new_life_counts_on() {
    let mut lives = Lives::default();
    let counted: Vec<u64> = [3, 5, 5, 1, 2, 0].into_iter().map(|now| lives.add(now)).collect();
    assert_eq!(counted, [3, 5, 5, 6, 7, 7]);
}

#[tokio::test]
async fn a_look_reads_what_the_relay_serves() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1_024];
        let len = stream.read(&mut request).await.unwrap();
        assert!(request[..len].starts_with(b"GET /metrics HTTP/1.1\r\n"));
        stream
            .write_all(format!("HTTP/1.1 200 OK\r\n\r\n{METRICS}").as_bytes())
            .await
            .unwrap();
    });
    let stock = look(address).await.unwrap();
    assert_eq!((stock.stored, stock.bytes, stock.again), (40, 1_200, None));
    server.await.unwrap();
    assert_eq!(look(address).await, None, "nobody listens any more");
}
