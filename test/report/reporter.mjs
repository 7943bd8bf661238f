// A reporter for `node --test`: a line of JSON for each test, as node.go reads it.
import { relative } from 'node:path'

export default async function* reporter(source) {
  const names = [] // of the tests that the current one is nested in
  const printed = new Map() // what a file has printed since its last failure
  for await (const { type, data } of source) {
    const file = data.file ? relative(process.cwd(), data.file) : ''
    switch (type) {
      case 'test:stdout':
      case 'test:stderr':
        printed.set(file, (printed.get(file) ?? '') + data.message)
        break
      case 'test:start':
        names.length = data.nesting
        names.push(data.name)
        break
      case 'test:pass':
      case 'test:fail': {
        names.length = data.nesting
        if (data.details.type === 'suite' && !isOwn(data.details.error)) {
          // Its tests were told of; how long they took together, only the suite knows.
          if (data.nesting === 0) yield JSON.stringify({ event: 'time', file, ms: data.details.duration_ms }) + '\n'
          break
        }
        const crashed = data.name === data.file // the file itself, before or after its tests
        const event = {
          event: type === 'test:fail' ? 'fail' : data.skip || data.todo ? 'skip' : 'pass',
          name: crashed ? '' : [...names, data.name].join(' > '),
          file,
          ms: data.nesting === 0 ? data.details.duration_ms : 0,
          output: ''
        }
        if (event.event === 'fail') {
          event.output = reason(data.details.error) + (printed.get(file) ?? '')
          printed.delete(file)
        }
        yield JSON.stringify(event) + '\n'
      }
    }
  }
}

// isOwn says whether a suite failed by itself, in a hook, not by its tests.
function isOwn(error) {
  return error !== undefined && error.failureType !== 'subtestsFailed'
}

function reason(error) {
  const cause = error?.cause ?? error
  return (cause?.stack ?? String(cause?.message ?? cause)) + '\n'
}
