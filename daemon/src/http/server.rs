//! The HTTP routes.
//!
//! A connection serves one request, within [`HTTP_CONNECTION_MS_MAX`] in all. So a client that sends half a
//! request, or does not read the response, soon makes room for others.
//!
//! The `Host` of a request must name this machine. A web page that makes a browser here send a request
//! names its own host.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::gauges::Gauges;
use super::health::Phase;
use super::page::Page;
use super::site::Site;
use crate::clock;
use crate::config::Config;
use crate::connections::{Connection, Connections};
use crate::control::codes;
use crate::control::reply::check::Level;
use crate::control::request::Request;
use crate::failure::Failure;
use crate::files::{Budget, HTTP_CONNECTION_MS_MAX};
/// Binds the address. If the default port is taken, any free port serves: the health page must not keep a
/// node from starting. A configured port is never replaced.
///
/// # Errors
/// `ICN-E0130`.
pub(crate) async fn bind(config: &Config) -> Result<TcpListener, Failure> {
    let bound = match TcpListener::bind(config.http).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && !config.http_explicit => {
            tracing::warn!(
                "Another process uses {}; a free port serves health and metrics",
                config.http
            );
            TcpListener::bind(SocketAddr::new(config.http.ip(), 0)).await
        }
        other => other,
    };
    bound.map_err(|error| {
        Failure::new(
            codes::HTTP_NOT_SERVED,
            format!("HTTP cannot be served on {}: {error}.", config.http),
        )
        .caused_by(&error)
    })
}

/// Serves HTTP until `stop`.
pub(crate) async fn serve(listener: TcpListener, site: Site, stop: CancellationToken) {
    let routes = Router::new()
        .route("/", get(first_page))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn(guard));
    let most = Budget::of_process().http;
    let connections = Connections::new(most, site.gauges.meter.http_connections(), stop.clone());
    let routes = routes.with_state(site);
    loop {
        let (stream, connection) = tokio::select! {
            () = stop.cancelled() => return,
            next = connections.next(&listener) => next,
        };
        tokio::spawn(serve_one(stream, routes.clone(), connection));
    }
}

/// Serves one request.
async fn serve_one(stream: TcpStream, routes: Router, connection: Arc<Connection>) {
    let routes = TowerToHyperService::new(routes);
    let respond = service_fn(|request: HttpRequest<Incoming>| {
        let response = routes.call(request);
        let connection = Arc::clone(&connection);
        async move {
            connection.begin();
            let response = response.await;
            connection.end();
            response
        }
    });
    let served =
        http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), respond);
    tokio::select! {
        // The client sees an error of its own connection.
        _ = served => {}
        () = connection.replaced() => {}
        () = sleep(Duration::from_millis(HTTP_CONNECTION_MS_MAX)) => connection.is_too_slow(),
    }
}

async fn guard(request: HttpRequest, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_none_or(names_this_machine) {
        let text = "This node answers to localhost only.\n";
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    let mut response = next.run(request).await;
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn names_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

async fn livez(State(site): State<Site>) -> Response {
    if site.gauges.health.hangs(clock::elapsed_ms()) {
        (StatusCode::SERVICE_UNAVAILABLE, "the core loop does not run\n").into_response()
    } else {
        "ok\n".into_response()
    }
}

async fn readyz(State(site): State<Site>) -> Response {
    match site.gauges.health.phase() {
        Phase::Ready => "ok\n".into_response(),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response(),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
        Phase::Failed => (StatusCode::SERVICE_UNAVAILABLE, "failed\n").into_response(),
    }
}

async fn healthz(State(site): State<Site>) -> Response {
    let checks = site.gauges.health.checks(clock::elapsed_ms());
    let worst = checks.iter().map(|check| check.level).max().unwrap_or(Level::Ok);
    let code = if worst == Level::Fail { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let phase = site.gauges.health.phase();
    let body = json!({ "status": worst, "phase": phase, "checks": checks });
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn metrics(State(site): State<Site>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let Gauges { meter, health } = &site.gauges;
    meter.checks(&health.checks(clock::elapsed_ms()));
    ([(header::CONTENT_TYPE, kind)], meter.render()).into_response()
}

async fn first_page(State(site): State<Site>) -> Html<String> {
    let (status, peers) = tokio::join!(site.ask(Request::Status), site.ask(Request::PeerList));
    let now_ms = clock::now_ms();
    let health = &site.gauges.health;
    let page =
        Page { phase: health.phase(), checks: health.checks(clock::elapsed_ms()), status, peers };
    Html(page.render(now_ms))
}

#[cfg(test)]
mod tests {
    use super::names_this_machine;

    #[test]
    fn only_a_host_header_that_names_this_machine_is_accepted() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "[::1]"] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in ["example.org", "localhost.example.org:80", "127.0.0.1.nip.io", ""] {
            assert!(!names_this_machine(host), "{host}");
        }
    }
}
