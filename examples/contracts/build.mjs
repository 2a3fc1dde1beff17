// Compiles the contracts beside this file into out/<Name>.json, with one pinned compiler.
//
//   npm install --prefix DIRECTORY solc@0.8.30
//   node build.mjs --solc DIRECTORY            writes them
//   node build.mjs --solc DIRECTORY --check    compares them: exit code 1 if one differs
//
// Bytecode without a hash of the metadata is a function of source, compiler and settings.

import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const COMPILER = '0.8.30+commit.73712a01'
const SETTINGS = {
  optimizer: { enabled: true, runs: 200 },
  // The oldest rules that the dry run offers: code for them runs under all of them.
  evmVersion: 'cancun',
  metadata: { bytecodeHash: 'none', appendCBOR: false },
}
const OUTPUT = ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object',
  'evm.methodIdentifiers', 'storageLayout']
const here = dirname(fileURLToPath(import.meta.url))
const out = join(here, 'out')

function fail(message, code) {
  console.error(message)
  process.exit(code)
}

function compiler(directory) {
  const solc = createRequire(join(resolve(directory), 'package.json'))('solc')
  const version = solc.version()
  if (!version.startsWith(COMPILER)) fail(`solc is ${version}, ${COMPILER} is needed`, 2)
  return solc
}

function compile(solc) {
  const names = readdirSync(here).filter((name) => name.endsWith('.sol')).sort()
  const source = (name) => [name, { content: readFileSync(join(here, name), 'utf8') }]
  const input = {
    language: 'Solidity',
    sources: Object.fromEntries(names.map(source)),
    settings: { ...SETTINGS, outputSelection: { '*': { '*': OUTPUT } } },
  }
  const { errors = [], contracts } = JSON.parse(solc.compile(JSON.stringify(input)))
  if (errors.length > 0) fail(errors.map((error) => error.formattedMessage).join('\n'), 1)
  return names.flatMap((file) =>
    Object.entries(contracts[file]).map(([name, made]) => [name, document(file, name, made)]))
}

function document(file, name, { abi, evm, storageLayout }) {
  const slots = storageLayout.storage.map(({ label, slot }) => [label, Number(slot)])
  const artifact = {
    contract: name,
    source: file,
    compiler: { name: 'solc', version: COMPILER, settings: SETTINGS },
    abi,
    methodIdentifiers: evm.methodIdentifiers,
    slots: Object.fromEntries(slots),
    bytecode: `0x${evm.bytecode.object}`,
    deployedBytecode: `0x${evm.deployedBytecode.object}`,
  }
  return `${JSON.stringify(artifact, null, 2)}\n`
}

function committed(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

const arguments_ = process.argv.slice(2)
const at = arguments_.indexOf('--solc')
if (at < 0 || arguments_[at + 1] === undefined) {
  fail('usage: node build.mjs --solc DIRECTORY [--check]', 2)
}
const made = compile(compiler(arguments_[at + 1]))
if (arguments_.includes('--check')) {
  const wanted = made.map(([name]) => `${name}.json`)
  const extra = readdirSync(out).filter((name) => !wanted.includes(name))
  const differ = made.filter(([name, text]) => committed(join(out, `${name}.json`)) !== text)
  const wrong = [...differ.map(([name]) => `${name}.json`), ...extra]
  if (wrong.length > 0) fail(`not what the compiler makes of the sources: ${wrong.join(', ')}`, 1)
  console.log(`${made.length} contracts are what solc ${COMPILER} makes of them`)
} else {
  mkdirSync(out, { recursive: true })
  for (const [name, text] of made) writeFileSync(join(out, `${name}.json`), text)
  console.log(`${made.length} contracts written`)
}
