// Judges an OpenAPI document: node openapi.mjs <file>
import { Validator } from '@seriousme/openapi-schema-validator'
import { readFileSync } from 'node:fs'

const validator = new Validator()
const result = await validator.validate(JSON.parse(readFileSync(process.argv[2], 'utf8')))
if (!result.valid) {
  console.error(JSON.stringify(result.errors, null, 2))
  process.exit(1)
}
validator.resolveRefs() // throws if one leads nowhere
console.log(`valid OpenAPI ${validator.version}`)
