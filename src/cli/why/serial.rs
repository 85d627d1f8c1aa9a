//! The devices of a name that `[names]` gives to a serial number: a history knows them, else the
//! newest status in the journal that has the number says so.

use anyhow::bail;

use super::device::Device;
use super::find::Readings;
use super::stored;
use crate::cli::print::{harmless, one_line, tell};
use crate::cli::target::Target;
use crate::journal::Reader;

impl Device {
    /// The device that a text means: a name of `[names]`, else ids.
    ///
    /// # Errors
    /// It is the name of a serial number that no device has, or the journal cannot be read, or not in
    /// time.
    pub(in crate::cli) async fn meant(
        text: &str,
        stream: Option<&str>,
        (target, readings): (&Target, &Readings),
        reader: &mut Reader,
    ) -> anyhow::Result<Device> {
        let names = target.names();
        let device = Device::written(text, stream, names.as_ref());
        let mut devices = Vec::new();
        for serial in device.serials() {
            let before = devices.len();
            for history in target.histories() {
                match stored::of_serial(&history, serial, stream).await {
                    Ok(found) => devices.extend(found),
                    Err(why) => tell!("sink {} was not asked: {}", history.name, one_line(&why)),
                }
            }
            if devices.len() == before {
                devices.extend(readings.of_serial(reader, serial, stream).await?);
            }
        }
        let device = device.with(devices);
        if let ([serial, ..], true) = (device.serials(), device.is_nobody()) {
            bail!(
                "[names] gives the name {} to the serial number {}, which no device has: neither a \
                 history nor the journal knows it",
                harmless(device.text()),
                harmless(serial)
            );
        }
        Ok(device)
    }
}
