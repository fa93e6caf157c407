//! Liveness, readiness, and the API's front door.

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};
use limelight_protocol::{
    actor::ActorState,
    rest::{Health, Readiness, ReadinessCheck},
};
use serde_json::json;

use crate::{app::App, clock};

/// Registers the routes.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/health").route(web::get().to(health)))
        .service(web::resource("/api/health").route(web::get().to(api_health)))
        .service(web::resource("/ready").route(web::get().to(ready)))
        .service(web::resource("/api").route(web::get().to(api)));
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/health", tag = "health",
    responses((status = 200, description = "It lives", body = Health)))]
pub async fn health() -> HttpResponse {
    HttpResponse::Ok().json(Health {
        success: true,
        status: "healthy".to_owned(),
        timestamp: clock::now(),
    })
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/api/health", tag = "health",
    responses((status = 200, description = "It lives", body = Health)))]
pub async fn api_health() -> HttpResponse {
    health().await
}

/// Whether the store answers and every supervised actor runs.
#[utoipa::path(get, path = "/ready", tag = "health",
    responses(
        (status = 200, description = "Ready for work", body = Readiness),
        (status = 503, description = "Something does not work", body = Readiness),
    ))]
pub async fn ready(app: web::Data<App>) -> HttpResponse {
    let store = app.services.store.ping().await;
    let mut checks = vec![ReadinessCheck {
        name: "store".to_owned(),
        ok: store.is_ok(),
        // The error may name hosts and files, and this path is open to everybody.
        detail: store
            .is_err()
            .then(|| "the store does not answer".to_owned()),
    }];
    app.services.supervision.registry.for_each(|actor| {
        if actor.path().starts_with("system/") {
            let ok = actor.state() == ActorState::Running;
            let detail = (!ok).then(|| format!("{:?}", actor.state()).to_lowercase());
            checks.push(ReadinessCheck {
                name: actor.path().to_owned(),
                ok,
                detail,
            });
        }
    });
    let ready = checks.iter().all(|check| check.ok);
    let mut answer = if ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    answer.json(Readiness { ready, checks })
}

/// Name, version and links of the API.
#[utoipa::path(get, path = "/api", tag = "health",
    responses((status = 200, description = "Name, version and links", body = Object)))]
pub async fn api(app: web::Data<App>) -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "name": "limelight",
        "version": env!("CARGO_PKG_VERSION"),
        "epoch": app.services.store.epoch(),
        "links": {
            "openapi": "/api/openapi.json",
            "docs": "/docs",
            "workflows": "/api/workflows",
            "executions": "/api/executions",
            "websocket": "/ws",
            "metrics": "/metrics",
        },
    }))
}
