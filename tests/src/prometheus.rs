//! A real Prometheus that scrapes the server, on a free port and with data of its own.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Api, Server, eventually};

/// A running Prometheus. It is ended when dropped.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    api: Api,
    folder: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `server` once a second and evaluates the rules in the file `rules`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn scraping(server: &Server, rules: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{:?}]\n\
             scrape_configs:\n  - job_name: limelight\n    static_configs: [{{targets: [{:?}]}}]\n",
            rules,
            server.address()
        );
        fs::write(folder.path().join("prometheus.yml"), config)?;
        // Prometheus does not tell which port it took when asked for any.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log"))?)
            .spawn()
            .context("prometheus: is the Debian package there? (`make setup-test`)")?;
        let prometheus = Self {
            child,
            api: Api::new(&format!("http://127.0.0.1:{port}"), None)?,
            folder,
        };
        eventually("Prometheus", || async {
            let reply = prometheus.api.get("/-/ready").await;
            Ok(reply.is_ok_and(|reply| reply.status == 200).then_some(()))
        })
        .await
        .with_context(|| prometheus.log())?;
        Ok(prometheus)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `data` of the answer to `GET path` of its API.
    ///
    /// # Errors
    /// When it says no.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let mut answer: Value = self.api.read(path).await?;
        ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer["data"].take())
    }

    /// Waits until a scrape of the server succeeded.
    ///
    /// # Errors
    /// When none does; the message holds why.
    pub async fn scraped(&self) -> Result<()> {
        eventually("a scrape", || async {
            let targets = self.get("/api/v1/targets").await?;
            let target = &targets["activeTargets"][0];
            ensure!(target["health"] != "down", "{}", target["lastError"]);
            Ok((target["health"] == "up").then_some(()))
        })
        .await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
