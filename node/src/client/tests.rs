use super::*;
use crate::api::types::{EventInfo, Made, NewNote};
use axum::Router;
use axum::extract::Path as Segment;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use tokio::net::UnixListener;

/// Serves `router` on a socket in a folder of its own, as long as the folder lives.
fn serve(router: Router) -> (tempfile::TempDir, Client) {
    let folder = tempfile::tempdir().unwrap();
    let path = socket_in(folder.path());
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (folder, Client::connect(&path).unwrap())
}

fn told(number: u64) -> EventInfo {
    EventInfo {
        number,
        at_ms: 5,
        event: "stored".into(),
        thread: None,
        entry: None,
        recipient: None,
        layer: None,
        text: String::new(),
    }
}

#[tokio::test]
async fn without_a_node_a_person_learns_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket_in(folder.path());
    let missing = Client::connect(&path).unwrap_err();
    drop(UnixListener::bind(&path).unwrap());
    let left_behind = Client::connect(&path).unwrap_err();
    for fault in [missing, left_behind] {
        assert_eq!(
            fault.line(),
            "AM-NODE-01: no node runs here. Start it with: aidmesh run"
        );
    }
    let long = folder.path().join("x".repeat(200));
    assert_eq!(Client::connect(&long).unwrap_err().code, "AM-STORE-14");
}

#[tokio::test]
async fn a_node_that_went_away_is_no_node() {
    let (folder, client) = serve(Router::new());
    std::fs::remove_file(socket_in(folder.path())).unwrap();
    let fault = client.get::<Made>("/v1/node").await.unwrap_err();
    assert_eq!(fault.code, "AM-NODE-01");
}

#[tokio::test]
async fn what_is_asked_arrives_and_what_is_answered_comes_back() {
    let note = |Segment(thread): Segment<String>, body: axum::Json<NewNote>| async move {
        axum::Json(Made {
            thread: Some(thread),
            entries: vec![body.0.text],
        })
    };
    let gone = |Segment((thread, person)): Segment<(String, String)>| async move {
        axum::Json(Made {
            thread: Some(thread),
            entries: vec![person],
        })
    };
    let router = Router::new()
        .route("/v1/threads/{id}/notes", post(note))
        .route("/v1/threads/{id}/members/{person}", delete(gone))
        .route(
            "/v1/threads/{id}/leave",
            post(|| async { StatusCode::NO_CONTENT }),
        )
        .route("/v1/file", get(|| async { vec![0_u8, 255, 10] }));
    let (_folder, client) = serve(router);
    let title = "7K2: ä/b ..% ?";
    let text = NewNote {
        text: "aspirin".into(),
    };
    let path = format!("/v1/threads/{}/notes", segment(title));
    let made: Made = client.post(&path, &text).await.unwrap();
    assert_eq!(
        (made.thread.as_deref(), &*made.entries[0]),
        (Some(title), "aspirin")
    );
    let path = format!("/v1/threads/t/members/{}", segment("Dr K"));
    let made: Made = client.delete(&path).await.unwrap();
    assert_eq!(made.entries, ["Dr K"]);
    let left: Made = client.post("/v1/threads/t/leave", &()).await.unwrap();
    assert_eq!(left, Made::default());
    assert_eq!(client.bytes("/v1/file").await.unwrap(), &[0, 255, 10][..]);
}

#[tokio::test]
async fn faults_of_the_node_are_passed_on_as_they_are() {
    let several = fault::with("AM-USE-03", "7K2 a1b2c3d4, 7K2 d4c3b2a1");
    let (plain, wrapped) = (several.clone(), several.clone());
    let newer = r#"{"code":"AM-NEWER-77","what":"a","means":"b","next":"c","more":1}"#;
    let router = Router::new()
        .route(
            "/plain",
            get(|| async move { (StatusCode::CONFLICT, axum::Json(plain)) }),
        )
        .route(
            "/wrapped",
            get(|| async move {
                (
                    StatusCode::CONFLICT,
                    axum::Json(serde_json::json!({"error": wrapped})),
                )
            }),
        )
        .route("/newer", get(move || async move { (StatusCode::GONE, newer) }))
        .route("/odd", get(|| async { (StatusCode::BAD_GATEWAY, "<html>") }))
        .route("/words", get(|| async { "no json" }));
    let (_folder, client) = serve(router);
    let answer = async |path| client.get::<Made>(path).await.unwrap_err();
    assert_eq!(answer("/plain").await, several);
    assert_eq!(answer("/wrapped").await, several);
    assert_eq!(answer("/wrapped").await.exit(), fault::Exit::Usage);
    assert_eq!(answer("/newer").await.code, "AM-NEWER-77");
    assert_eq!(answer("/words").await.code, "AM-NODE-02");
    let odd = answer("/odd").await;
    assert!(odd.code == "AM-NODE-02" && odd.what.contains("502"), "{odd:?}");
    // nothing is served there
    assert_eq!(answer("/nowhere").await.code, "AM-NODE-02");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let endless = || async { "x".repeat(ANSWER_BYTES_MAX + 1) };
    let (_folder, client) = serve(Router::new().route("/v1/inbox", get(endless)));
    let fault = client.bytes("/v1/inbox").await.unwrap_err();
    assert_eq!(fault.code, "AM-NODE-07");
}

#[tokio::test]
async fn events_go_on_after_the_last_one() {
    let events = |headers: HeaderMap| async move {
        let after = headers
            .get("last-event-id")
            .and_then(|h| h.to_str().ok()?.parse().ok());
        let next = after.unwrap_or(0_u64) + 1;
        let event = |n| format!("id: {n}\ndata: {}\n\n", serde_json::to_string(&told(n)).unwrap());
        (
            [("content-type", "text/event-stream")],
            event(next) + &event(next + 1),
        )
            .into_response()
    };
    let (_folder, client) = serve(Router::new().route("/v1/events", get(events)));
    let mut stream = client.events(None).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().number, 1);
    assert_eq!(stream.next().await.unwrap().unwrap().number, 2);
    assert!(stream.next().await.is_none(), "the node ended it");
    assert!(stream.next().await.is_none(), "and it stays ended");
    let mut stream = client.events(stream.last()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), told(3));
    assert_eq!(stream.last(), Some(3));
}

#[tokio::test]
async fn a_refused_stream_says_why() {
    let refused = || async {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            axum::Json(fault::of("AM-NODE-04")),
        )
    };
    let (_folder, client) = serve(Router::new().route("/v1/events", get(refused)));
    assert_eq!(client.events(None).await.unwrap_err().code, "AM-NODE-04");
}
