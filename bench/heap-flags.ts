/**
 * As `docker-compose.yml` and the image start those that move events. A small young generation lets go of buffers sooner; an old one
 * that need not begin small spares a collection of everything each time that the buffers, which count against it, come near its limit.
 */
export const HEAP_FLAGS = ['--max-semi-space-size=4', '--initial-old-space-size=128']
