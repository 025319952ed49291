# What a job does: tests/peers/README.md.
require "json"
require "net/http"
require "sidekiq"

Sidekiq.logger.level = Logger::WARN
redis = { url: ENV.fetch("REDIS_URL"), driver: :hiredis }
Sidekiq.configure_server { |config| config.redis = redis }
Sidekiq.configure_client { |config| config.redis = redis }

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
end

class Job
  include Sidekiq::Worker

  JOURNAL = File.open(ENV.fetch("PEER_JOURNAL"), File::WRONLY | File::APPEND | File::CREAT)
  PROVIDER = ENV["PEER_PROVIDER"] && URI(ENV["PEER_PROVIDER"])

  def perform(number, enqueued)
    call(number) if PROVIDER
    JOURNAL.syswrite("#{number} #{enqueued} #{now}\n")
  end

  private

  # Each thread keeps its connection.
  def call(number)
    http = Thread.current[:http] ||= Net::HTTP.start(PROVIDER.host, PROVIDER.port, read_timeout: 300)
    body = { model: "gpt-5-mini", messages: [{ role: "user", content: "Question #{number}" }] }
    answer = http.post(PROVIDER.path, body.to_json, "authorization" => "Bearer key", "content-type" => "application/json")
    answer.value
  end
end
