//! Plugins as `make plugins` builds them, against the host.

mod fixture;
mod hostile;
mod load;
mod mask;
mod reshape;
mod speed;
