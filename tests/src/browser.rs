//! The dashboard in headless Chromium, driven over WebDriver.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context, Result, ensure};
use fantoccini::{Client, Locator, elements::Element, key::Key, wd::Capabilities};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Api, DEADLINE, eventually, process, server::profile_dir};

/// A browser with an empty profile. It is ended when dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    driver_api: Api,
    client: Client,
    _profile: TempDir,
}

/// Selector of the element with that test id.
#[must_use]
pub fn test_id(id: &str) -> String {
    format!("[data-testid=\"{id}\"]")
}

impl Browser {
    /// Starts Chromium and its driver.
    ///
    /// # Errors
    /// When they are not installed, or do not start.
    pub async fn start() -> Result<Self> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Chromium joins the driver's group, and ends with it.
            .process_group(0)
            .spawn()
            .context("chromedriver: is the Debian package there? (`make setup-test`)")?;
        let pipe = driver.stdout.take().context("standard output is piped")?;
        let mut lines = BufReader::new(pipe).lines().map_while(Result::ok);
        let port: u16 = lines
            .find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .context("chromedriver names no port")?;
        thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir()?;
        let base = format!("http://127.0.0.1:{port}");
        let capabilities = capabilities(&profile)?;
        let connector = HttpConnector::new();
        let client =
            Client::with_capabilities_and_connector(&base, &capabilities, connector).await?;
        Ok(Self {
            driver,
            driver_api: Api::new(&base, None)?,
            client,
            _profile: profile,
        })
    }

    /// Opens a page.
    ///
    /// # Errors
    /// When the browser cannot.
    pub async fn open(&self, url: &str) -> Result<()> {
        Ok(self.client.goto(url).await?)
    }

    /// The address of the page.
    ///
    /// # Errors
    /// When the browser does not say.
    pub async fn url(&self) -> Result<String> {
        Ok(self.client.current_url().await?.to_string())
    }

    /// The element that `selector` finds, waiting for it.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn see(&self, selector: &str) -> Result<Element> {
        let wait = self.client.wait().at_most(DEADLINE);
        let found = wait.for_element(Locator::Css(selector)).await;
        match found {
            Ok(element) => Ok(element),
            Err(error) => {
                let text = self.text("body").await.unwrap_or_default();
                Err(error).with_context(|| format!("{selector} is not on the page:\n{text}"))
            }
        }
    }

    /// Clicks on the element with that test id, waiting for it.
    ///
    /// # Errors
    /// When it does not come, or cannot be clicked on.
    pub async fn click(&self, id: &str) -> Result<()> {
        // The page may be drawn anew between finding and clicking; then the next try finds the new one.
        eventually(&format!("a click on {id}"), || async {
            let element = self.see(&test_id(id)).await?;
            Ok(element.click().await.ok())
        })
        .await
    }

    /// Whether `selector` finds anything now.
    ///
    /// # Errors
    /// When the browser does not say.
    pub async fn present(&self, selector: &str) -> Result<bool> {
        Ok(!self
            .client
            .find_all(Locator::Css(selector))
            .await?
            .is_empty())
    }

    /// Presses the tabulator key, which moves the focus on.
    ///
    /// # Errors
    /// When the browser does not take it.
    pub async fn press_tab(&self) -> Result<()> {
        let element = self.client.active_element().await?;
        Ok(element.send_keys(&char::from(Key::Tab).to_string()).await?)
    }

    /// The text of the element that `selector` finds.
    ///
    /// # Errors
    /// When there is none.
    pub async fn text(&self, selector: &str) -> Result<String> {
        let script =
            "const e = document.querySelector(arguments[0]); return e ? e.innerText : null";
        let text = self.script(script, vec![json!(selector)]).await?;
        let text = text.as_str().context("no such element")?;
        Ok(text.to_owned())
    }

    /// The attribute of every element that `selector` finds, in the page's order.
    ///
    /// # Errors
    /// When the browser does not say.
    pub async fn attributes(&self, selector: &str, attribute: &str) -> Result<Vec<String>> {
        let script = "return [...document.querySelectorAll(arguments[0])]\
                      .map(e => e.getAttribute(arguments[1]) || '')";
        let values = self
            .script(script, vec![json!(selector), json!(attribute)])
            .await?;
        Ok(serde_json::from_value(values)?)
    }

    /// Runs a script in the page.
    ///
    /// # Errors
    /// When the script throws.
    pub async fn script(&self, script: &str, args: Vec<Value>) -> Result<Value> {
        Ok(self.client.execute(script, args).await?)
    }

    /// Keeps a picture of the page as `target/screenshots/NAME.png`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn screenshot(&self, name: &str) -> Result<()> {
        let target = profile_dir()?;
        let folder = target.parent().unwrap_or(&target).join("screenshots");
        fs::create_dir_all(&folder)?;
        let picture = self.client.screenshot().await?;
        Ok(fs::write(folder.join(format!("{name}.png")), picture)?)
    }

    /// What the page has written to its console as errors, since this was last asked.
    ///
    /// # Errors
    /// When the browser does not say.
    pub async fn console_errors(&self) -> Result<Vec<String>> {
        let session = self.client.session_id().await?.context("a session")?;
        let path = format!("/session/{session}/se/log");
        let reply = self
            .driver_api
            .post_json(&path, &json!({"type": "browser"}))
            .await?;
        let answer: Value = reply.json(200)?;
        let entries = answer["value"].as_array().context("a list of entries")?;
        ensure!(entries.iter().all(|entry| entry["level"].is_string()));
        let errors = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        Ok(errors.map(|entry| entry["message"].to_string()).collect())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = process::kill_group(self.driver.id());
        let _ = self.driver.wait();
    }
}

fn capabilities(profile: &TempDir) -> Result<Capabilities> {
    let mut args = vec![format!("--user-data-dir={}", profile.path().display())];
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1440,900",
    ];
    args.extend(flags.map(str::to_owned));
    let wanted = json!({
        "goog:chromeOptions": {"args": args},
        "goog:loggingPrefs": {"browser": "ALL"},
    });
    Ok(serde_json::from_value(wanted)?)
}
