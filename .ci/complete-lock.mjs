// A registry mirror may not carry other platforms' optional packages. `npm install` then leaves them out of
// package-lock.json, and `npm ci` refuses that lock everywhere. This writes the entries that are missing: name and
// version stand in the parent's optionalDependencies, platform and processor in the package's name. npm skips an
// optional package for another platform without asking for it, and checks nothing it does not fetch.
// Run after each change of dependencies: node .ci/complete-lock.mjs
import { readFileSync, writeFileSync } from 'node:fs'

const PLATFORMS = ['darwin', 'linux', 'win32', 'android', 'freebsd', 'netbsd', 'openbsd', 'sunos', 'aix', 'openharmony']
const PROCESSORS = ['arm64', 'x64', 'ia32', 'arm', 'ppc64', 'riscv64', 's390x', 'loong64', 'mips64el']

const path = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(path, 'utf8'))
const { '': root, ...packages } = lock.packages

for (const [place, parent] of Object.entries(packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    if (packages[`node_modules/${name}`] !== undefined || packages[`${place}/node_modules/${name}`] !== undefined)
      continue
    const words = name.split(/[^a-z0-9]+/)
    const os = PLATFORMS.find((platform) => words.includes(platform))
    const cpu =
      PROCESSORS.find((processor) => words.some((word) => word === processor)) ?? (words.includes('arm') && 'arm')
    if (os === undefined || !cpu || !/^\d/.test(version)) continue
    const libc = words.some((word) => word.startsWith('musl'))
      ? ['musl']
      : words.some((word) => word.startsWith('gnu'))
        ? ['glibc']
        : undefined
    packages[`node_modules/${name}`] = {
      version,
      cpu: [cpu],
      ...(parent.dev === true ? { dev: true } : {}),
      ...(libc === undefined ? {} : { libc }),
      ...(parent.license === undefined ? {} : { license: parent.license }),
      optional: true,
      os: [os],
    }
    process.stdout.write(`${name}@${version}\n`)
  }
}

const sorted = Object.fromEntries(Object.entries(packages).toSorted(([a], [b]) => a.localeCompare(b, 'en')))
writeFileSync(path, `${JSON.stringify({ ...lock, packages: { '': root, ...sorted } }, null, 2)}\n`)
