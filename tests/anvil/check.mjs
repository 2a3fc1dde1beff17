// Releases bundles onto two real development chains, and reads there with another tool (viem) what the
// network says that it released: every receipt, in the committed order, on both chains.
//
//   npm install --prefix DIR @foundry-rs/anvil@1.7.1 viem@2
//   NODE_PATH=DIR/node_modules node tests/anvil/check.mjs target/release/fairveil DIR/.../bin/anvil
//
// Everything listens on loopback and ends with this script.

import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'

const [fairveil, anvil] = process.argv.slice(2)
assert(fairveil && anvil, 'give the paths of fairveil and of anvil')
const require = createRequire(join(process.env.NODE_PATH ?? '.', 'x.js'))
const { createPublicClient, http, keccak256, parseEther, defineChain } = require('viem')
const { mnemonicToAccount } = require('viem/accounts')

const CHAINS = [901, 902]
const MNEMONIC = 'test test test test test test test test test test test junk'
const account = index => mnemonicToAccount(MNEMONIC, { addressIndex: index })
// Init code of a contract that refuses every call: its runtime code is PUSH1 0, PUSH1 0, REVERT.
const REFUSES = '0x6460006000fd6000526005601bf3'
const folder = mkdtempSync(join(tmpdir(), 'fairveil-anvil-'))
const nonces = new Map()

async function signed(from, chainId, transaction) {
  const key = `${from}/${chainId}`
  const nonce = nonces.get(key) ?? 0
  nonces.set(key, nonce + 1)
  return account(from).signTransaction({
    type: 'eip1559', chainId, nonce, gas: 100_000n, maxFeePerGas: 1_000_000_000n,
    maxPriorityFeePerGas: 0n, ...transaction,
  })
}

function start() {
  const rollups = ['--rollup', 'anvil:901,block-time=1s', '--rollup', 'anvil:902,block-time=2s']
  const child = spawn(fairveil, ['dev', '--json', '--anvil', anvil, ...rollups], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ready = new Promise((resolve, reject) => {
    let text = ''
    child.stdout.on('data', data => {
      text += data
      if (text.includes('\n')) resolve(JSON.parse(text))
    })
    child.on('exit', code => reject(new Error(`dev ended with ${code}`)))
  })
  return { child, ready }
}

function run(network, ...words) {
  const environment = {
    ...process.env,
    FAIRVEIL_TRANSCRIPT: network.transcript,
    FAIRVEIL_NETWORK: network.network_id,
    FAIRVEIL_SEQUENCERS: network.sequencers.map(one => one.http).join(','),
  }
  const done = spawnSync(fairveil, words, { env: environment, encoding: 'utf8' })
  return { code: done.status, text: done.stdout + done.stderr }
}

function must(network, ...words) {
  const { code, text } = run(network, ...words)
  assert.equal(code, 0, `${words.join(' ')}: ${text}`)
  return text
}

let number = 0
function seal(network, policy, transactions) {
  const file = name => join(folder, `${number}.${name}.json`)
  number += 1
  const given = transactions.flatMap(([chain, raw]) => ['--tx', `${chain}:${raw}`])
  must(network, 'bundle', 'build', ...given, '--policy', policy, '--out', file('bundle'))
  const payer = join(folder, `payer-${number}`)
  must(network, 'bundle', 'seal', '--bundle', file('bundle'), '--payer', payer, '--out', file('sealed'))
  must(network, 'bundle', 'submit', file('sealed'))
  return file('sealed')
}

async function until(what, look) {
  const end = Date.now() + 60_000
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    assert(Date.now() < end, `${what}: not within 60 s`)
    await new Promise(resolve => setTimeout(resolve, 200))
  }
}

async function check(network) {
  const client = id => createPublicClient({
    chain: defineChain({ id, name: `rollup-${id}`, nativeCurrency: { name: 'e', symbol: 'e', decimals: 18 }, rpcUrls: { default: { http: [network.anvil[id]] } } }),
    transport: http(network.anvil[id]),
  })
  const clients = new Map(CHAINS.map(id => [id, client(id)]))
  const friend = account(9).address
  const before = new Map()
  for (const id of CHAINS) before.set(id, await clients.get(id).getBalance({ address: friend }))

  const pay = { to: friend, value: parseEther('1') }
  const contract = '0x5FbDB2315678afecb367f032d93F642f64180aa3' // of account 0, nonce 0
  const bundles = [
    // A contract on one rollup, a payment on the other.
    ['execute', [[901, await signed(0, 901, { data: REFUSES })], [902, await signed(0, 902, pay)]], 0],
    ['execute', [[901, await signed(1, 901, pay)], [901, await signed(1, 901, pay)], [902, await signed(1, 902, pay)]], 0],
    ['include', [[902, await signed(2, 902, pay)]], 0],
  ]
  const sealed = bundles.map(([policy, transactions]) => seal(network, policy, transactions))
  for (const file of sealed) must(network, 'bundle', 'wait', file)
  // A call that is refused: it drops its bundle under execute, and only reverts under include.
  const refused = { to: contract }
  const dropped = await signed(3, 901, refused)
  const other = await signed(3, 902, pay)
  const drops = seal(network, 'execute', [[901, dropped], [902, other]])
  assert.equal(run(network, 'bundle', 'wait', drops).code, 3, 'dropped')
  const includes = seal(network, 'include', [[901, dropped], [902, other]])
  must(network, 'bundle', 'wait', includes)

  // What the network released, per rollup and in order.
  let receipts = 0
  for (const id of CHAINS) {
    const answer = await fetch(`${network.sequencers[0].http}/batches/${id}?from=1`)
    const batches = await answer.json()
    const released = batches.flatMap(one => one.batch.blocks.flatMap(block => block.transactions))
    assert(released.length >= 4, `${released.length} transactions on ${id}`)
    let last = [-1n, -1]
    for (const raw of released) {
      const hash = keccak256(raw)
      const receipt = await until(`a receipt of ${hash}`, async () => {
        try { return await clients.get(id).getTransactionReceipt({ hash }) } catch { return undefined }
      })
      const at = [receipt.blockNumber, receipt.transactionIndex]
      assert(at[0] > last[0] || (at[0] === last[0] && at[1] > last[1]), `order on ${id}: ${last} ${at}`)
      assert.equal(receipt.status, raw === dropped ? 'reverted' : 'success', `${hash} on ${id}`)
      last = at
      receipts += 1
    }
  }
  const gained = new Map()
  for (const id of CHAINS) {
    gained.set(id, await clients.get(id).getBalance({ address: friend }) - before.get(id))
  }
  assert.deepEqual([...gained], [[901, parseEther('2')], [902, parseEther('4')]])
  // Legs of one bundle stand in blocks of one timestamp.
  const [, [[, one], , [, two]]] = bundles[1]
  const times = await Promise.all([[901, one], [902, two]].map(async ([id, raw]) => {
    const { blockNumber } = await clients.get(id).getTransactionReceipt({ hash: keccak256(raw) })
    return (await clients.get(id).getBlock({ blockNumber })).timestamp
  }))
  assert.equal(times[0], times[1])
  console.log(`ok: ${receipts} receipts in the committed order on ${CHAINS.length} chains, balances exact`)
}

const { child, ready } = start()
try {
  const network = await ready
  await check(network)
} finally {
  child.removeAllListeners('exit')
  const ended = new Promise(resolve => child.on('exit', resolve))
  child.kill('SIGINT')
  await ended
  rmSync(folder, { recursive: true, force: true })
}
