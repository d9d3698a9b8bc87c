// Each statement of the embedded engine holds one of libuv's threads, and by default there are four for everything.
// Read when the first thread is wanted, so this is imported before all else.
process.env['UV_THREADPOOL_SIZE'] ??= '16'
