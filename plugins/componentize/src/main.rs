//! Makes a component of a core module that carries its world with it, as wit-bindgen leaves it: `componentize IN.wasm OUT.wasm`.

use anyhow::{Context, Result, bail};
use std::{env, fs};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else { bail!("usage: componentize IN.wasm OUT.wasm") };
    let module = fs::read(input).with_context(|| format!("{input} can't be read"))?;
    let component = wit_component::ComponentEncoder::default()
        .module(&module)
        .with_context(|| format!("{input} does not carry a world; is it built with wit-bindgen?"))?
        .validate(true)
        .encode()
        .with_context(|| format!("{input} does not fit the world it carries"))?;
    fs::write(output, component).with_context(|| format!("{output} can't be written"))
}
