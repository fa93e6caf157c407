//! Who is behind a request.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a caller may do. Each role may do all that those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Role {
    /// Reads.
    Viewer,
    /// Runs and controls.
    Operator,
    /// Defines what commands run, and who may.
    Admin,
}

impl Role {
    /// The text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            "admin" => Ok(Self::Admin),
            other => Err(format!(
                "{other:?} is not a role: viewer, operator or admin"
            )),
        }
    }
}

/// Body of `POST /api/auth/login`: either the code of a sign-in link, or a name and a password.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged, deny_unknown_fields)]
pub enum Login {
    /// From a sign-in link; good once.
    Code {
        /// The code.
        #[cfg_attr(feature = "openapi", schema(example = "W7BsCfGgTyHL0ggOK5V"))]
        code: String,
    },
    /// For users who have a password.
    Password {
        /// Name of the user.
        #[cfg_attr(feature = "openapi", schema(example = "ada"))]
        username: String,
        /// Their password.
        #[cfg_attr(feature = "openapi", schema(example = "correct horse battery staple"))]
        password: String,
    },
}

/// Answer of `POST /api/auth/login` and `GET /api/auth/me`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Me {
    /// Name of the user.
    pub username: String,
    /// What they may do.
    pub role: Role,
    /// Teams they are in.
    pub teams: Vec<String>,
    /// False when the server was started with `--auth off`.
    pub auth_required: bool,
}
