#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cedargate_fuzz::signed_url(data);
});
