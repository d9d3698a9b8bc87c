#!/usr/bin/env node
// The services are TypeScript, run as it stands: Node 24 strips the types. `npm install` brings that Node (the npm
// package `node`) and npm scripts find it first, so an older one here means that its install step was not allowed to run.
const [major] = process.versions.node.split('.').map(Number)
if (major < 24) {
  process.stderr.write(
    `Tributary runs on Node 24 and this is Node ${process.versions.node}. ` +
      'Run `npm install` here and start through npm (`npm start`, `npm run tributary -- --help`): it brings Node 24 along. ' +
      'If it still says this, npm was told not to run install scripts: run `npm rebuild node --ignore-scripts=false`.\n',
  )
  process.exit(1)
}
try {
  await import('../services/main.ts')
} catch (error) {
  if (error?.code !== 'ERR_MODULE_NOT_FOUND' || !/Cannot find package/.test(error.message)) throw error
  process.stderr.write(`${error.message.split(' imported from')[0]}. Run \`npm install\` in this folder.\n`)
  process.exit(1)
}
