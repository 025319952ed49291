require_relative "job"

count = Integer(ARGV[0])
per_second = ARGV[1] && Float(ARGV[1])

if per_second
  began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  count.times do |number|
    due = began + number / per_second - Process.clock_gettime(Process::CLOCK_MONOTONIC)
    sleep(due) if due > 0
    Job.perform_async(number, now)
  end
else
  (0...count).each_slice(1000) do |numbers|
    Sidekiq::Client.push_bulk("class" => Job, "args" => numbers.map { |number| [number, now] })
  end
end
