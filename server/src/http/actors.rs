//! The supervision tree.

use actix_web::web::{self, ServiceConfig};
use limelight_protocol::actor::ActorTree;

use crate::{app::App, auth::Caller};

/// Registers the route.
pub fn configure(config: &mut ServiceConfig) {
    config.service(web::resource("/api/actors").route(web::get().to(tree)));
}

/// Every actor, as it stands.
#[utoipa::path(get, path = "/api/actors", tag = "actors",
    responses((status = 200, description = "The tree", body = ActorTree)))]
pub async fn tree(app: web::Data<App>, _caller: Caller) -> web::Json<ActorTree> {
    web::Json(app.services.supervision.registry.tree())
}
