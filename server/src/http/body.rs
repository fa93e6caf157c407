//! Bodies of requests: who may send one, how large it may be, how long it may take.
//!
//! [`Sent`] is the only way to a body. It asks for the caller's role before it reads a byte, so that
//! nobody learns from a fault of a body what they may not call, and nobody fills memory who may not;
//! it measures while it reads, and never inflates.

use std::{sync::Arc, time::Duration};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::header,
    web::{Bytes, BytesMut, Data},
};
use futures_util::{StreamExt, future::LocalBoxFuture};
use limelight_protocol::auth::Role;
use serde::de::DeserializeOwned;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::server::{Conn, Phase, SLOWEST_RATE};
use crate::{auth::Caller, error::ApiError};

/// Bytes of all bodies that are being read or followed at once.
const MOST_AT_ONCE: usize = 32 * 1024 * 1024;

/// What all bodies share, as app data.
#[derive(Debug)]
pub struct Intake {
    room: Arc<Semaphore>,
    stall: Duration,
}

impl Intake {
    /// Waits `stall` for a body, and longer for a long one that keeps coming.
    #[must_use]
    pub fn new(stall: Duration) -> Self {
        Self {
            room: Arc::new(Semaphore::new(MOST_AT_ONCE)),
            stall,
        }
    }
}

/// Who may make a call.
pub trait Admits: 'static {
    /// What is known of them.
    type Who: 'static;

    /// Lets the sender of a request in.
    ///
    /// # Errors
    /// 401 when nobody is behind it, 403 when their role is too low.
    fn admit(request: &HttpRequest) -> Result<Self::Who, ApiError>;
}

macro_rules! roles {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Admits for $name {
            type Who = Caller;

            fn admit(request: &HttpRequest) -> Result<Caller, ApiError> {
                let caller = Caller::of(request)?;
                caller.require(Role::$name)?;
                Ok(caller)
            }
        }
    )+};
}

roles! {
    /// Whoever has signed in.
    Viewer,
    /// Who may run and control.
    Operator,
    /// Who may define what programs run, and delete.
    Admin,
}

/// Whoever asks, signed in or not.
#[derive(Clone, Copy, Debug)]
pub struct Anybody;

impl Admits for Anybody {
    type Who = ();

    fn admit(_: &HttpRequest) -> Result<(), ApiError> {
        Ok(())
    }
}

/// The caller of a call that takes no body. Stands before the other arguments of a handler, so that
/// the role is looked at first.
#[derive(Debug)]
pub struct By<R: Admits>(pub R::Who);

impl<R: Admits> FromRequest for By<R> {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(R::admit(request).map(Self))
    }
}

/// A body from somebody who may send it. Holds its share of the memory for bodies until dropped.
#[derive(Debug)]
pub struct Sent<R: Admits, B> {
    /// Who sent it.
    pub caller: R::Who,
    /// What they sent.
    pub body: B,
    _room: Option<OwnedSemaphorePermit>,
}

impl<R: Admits, B: Body + 'static> FromRequest for Sent<R, B> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let admitted = R::admit(request);
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let caller = admitted?;
            B::check_type(&request)?;
            let (bytes, room) = read(&request, payload, B::LIMIT).await?;
            let body = B::from_bytes(bytes)?;
            Ok(Self {
                caller,
                body,
                _room: room,
            })
        })
    }
}

async fn read(
    request: &HttpRequest,
    mut payload: Payload,
    limit: usize,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), ApiError> {
    let intake = request
        .app_data::<Data<Intake>>()
        .ok_or_else(|| ApiError::internal("the app has no Intake among its data"))?;
    let too_large = || ApiError::too_large(format!("this body may have {limit} bytes"));
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let began = Instant::now();
    let mut body = BytesMut::new();
    let mut room: Option<OwnedSemaphorePermit> = None;
    loop {
        let earned = Duration::from_secs_f64(body.len() as f64 / SLOWEST_RATE);
        let chunk = match timeout_at(began + intake.stall + earned, payload.next()).await {
            Err(_) => return Err(ApiError::body_too_slow()),
            Ok(None) => break,
            Ok(Some(Err(PayloadError::Overflow))) => return Err(too_large()),
            Ok(Some(Err(error))) => {
                return Err(ApiError::bad_request("unreadable_body", error.to_string()));
            }
            Ok(Some(Ok(chunk))) => chunk,
        };
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        let more = Arc::clone(&intake.room)
            .try_acquire_many_owned(chunk.len() as u32)
            .map_err(|_| {
                ApiError::unavailable("too_busy", "too many bodies are being read; try again")
            })?;
        match &mut room {
            Some(room) => room.merge(more),
            None => room = Some(more),
        }
        body.extend_from_slice(&chunk);
    }
    if let Some(conn) = request.conn_data::<Arc<Conn>>() {
        conn.enter(Phase::Working);
    }
    Ok((body.freeze(), room))
}

/// How the bytes of a body are read.
pub trait Body: Sized {
    /// Most bytes.
    const LIMIT: usize;

    /// Refuses a body by its type.
    ///
    /// # Errors
    /// 415.
    fn check_type(_: &HttpRequest) -> Result<(), ApiError> {
        Ok(())
    }

    /// Reads it.
    ///
    /// # Errors
    /// 400 when it cannot be read, 422 when it makes no sense.
    fn from_bytes(bytes: Bytes) -> Result<Self, ApiError>;
}

/// What a JSON body is read into.
pub trait Content: DeserializeOwned {
    /// Most bytes of the body.
    const LIMIT: usize;

    /// Looks at what its type does not tell: lengths and counts.
    ///
    /// # Errors
    /// 422 that names the field.
    fn check(&self) -> Result<(), ApiError>;
}

fn parse<T: Content>(bytes: &Bytes) -> Result<T, ApiError> {
    let content: T = serde_json::from_slice(bytes).map_err(|error| ApiError::from_json(&error))?;
    content.check()?;
    Ok(content)
}

/// A body of type `application/json`.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Content> Body for Json<T> {
    const LIMIT: usize = T::LIMIT;

    fn check_type(request: &HttpRequest) -> Result<(), ApiError> {
        let json = matches!(
            request.mime_type(),
            Ok(Some(kind)) if kind.subtype() == "json" || kind.suffix().is_some_and(|it| it == "json")
        );
        if json {
            return Ok(());
        }
        Err(ApiError::unsupported_media_type(
            "this call takes application/json",
        ))
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, ApiError> {
        parse(&bytes).map(Self)
    }
}

/// JSON that may be left out altogether.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

impl<T: Content + Default> Body for OptionalJson<T> {
    const LIMIT: usize = T::LIMIT;

    fn from_bytes(bytes: Bytes) -> Result<Self, ApiError> {
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        parse(&bytes).map(Self)
    }
}

/// The text of a definition, which may not be UTF-8.
#[derive(Debug)]
pub struct Source(pub Bytes);

impl Body for Source {
    const LIMIT: usize = 2 * 1024 * 1024;

    fn from_bytes(bytes: Bytes) -> Result<Self, ApiError> {
        Ok(Self(bytes))
    }
}
