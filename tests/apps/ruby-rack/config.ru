# frozen_string_literal: true

run lambda { |_env|
  powered_by = ENV.fetch("POWERED_BY", "paas")
  [200, { "content-type" => "text/plain" }, ["Hello from #{powered_by} #{ENV["HEROKU_RELEASE_VERSION"]} #{ENV["DYNO"]}\n"]]
}
