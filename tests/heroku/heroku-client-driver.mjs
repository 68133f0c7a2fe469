// Evaluates each line of its input, an expression about `heroku`, and says in a line of JSON what came of it.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const require = createRequire(process.env.MODULES + '/')
const Heroku = require('heroku-client')
const heroku = new Heroku({ token: process.env.HEROKU_API_KEY, host: process.env.HEROKU_HOST })

for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    answer = { exit: 0, said: JSON.stringify(await eval(line)) ?? '' }
  } catch (error) {
    answer = { exit: 1, said: `${error} ${JSON.stringify(error.body ?? null)}` }
  }
  console.log(JSON.stringify(answer))
}
