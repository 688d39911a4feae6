pub(crate) use crate::data::atomic::{link, write, write_with};
