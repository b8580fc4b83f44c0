// Some 200 tools as real servers declare them, in short: name and arguments, expanded to JSON schemas.

/**
 * One tool a line, or more with the others indented: `name field:type field?:type`. Types: str,
 * str{min,max}, int, int{min,max}, num, num{min,max}, bool, a format's name, `a|b` (an enum), `T[]`,
 * `T[]{min,max}`, `T~` (or null), `<field:type ...>` (an object), `map<T>` (any names).
 */
const lines = `
create_issue owner:str{1,20} repo:str{1,20} title:str{1,30} body?:str labels?:str[]{0,3}
  assignees?:str[]{0,2}
list_issues owner:str repo:str state?:open|closed|all sort?:created|updated|comments
  page?:int{1,99} per_page?:int{1,100}
get_file_contents owner:str repo:str path:str{1,30} ref?:str
create_pull_request owner:str repo:str title:str head:str base:str draft?:bool
  maintainer_can_modify?:bool
merge_pull_request owner:str repo:str pull_number:int{1,99999} merge_method:merge|squash|rebase
push_files owner:str repo:str branch:str message:str files:<path:str content:str>[]{1,3}
search_code query:str{1,30} order?:asc|desc page?:int{1,34}
fork_repository owner:str repo:str organization?:str~
create_branch owner:str repo:str branch:str from_branch?:str
add_issue_comment owner:str repo:str issue_number:int{1,99999} body:str{1,30}
update_issue owner:str repo:str issue_number:int{1,99999} state?:open|closed milestone?:int{1,99}~
create_review owner:str repo:str pull_number:int{1,9999} event:APPROVE|REQUEST_CHANGES|COMMENT
  comments?:<path:str line:int{1,5000} body:str>[]{0,2}
list_commits owner:str repo:str sha?:str since?:date-time until?:date-time
create_release owner:str repo:str tag_name:str{1,12} prerelease:bool body?:str
star_repository owner:str repo:str
read_file path:str{1,30} head?:int{1,1000} tail?:int{1,1000}
write_file path:str{1,30} content:str
edit_file path:str edits:<oldText:str newText:str>[]{1,3} dryRun?:bool
list_directory path:str sortBy?:name|size
directory_tree path:str excludePatterns?:str[]{0,3}
move_file source:str destination:str
search_files path:str pattern:str{1,20} excludePatterns?:str[]{0,2}
get_file_info path:str
read_multiple_files paths:str[]{1,4}
create_directory path:str recursive?:bool
execute_command command:str{1,30} cwd?:str timeout_ms?:int{1,600000} env?:map<str>
kill_process pid:int{1,4194304} signal?:SIGTERM|SIGKILL|SIGINT
run_python code:str timeout?:num{0,60}
run_tests paths:str[]{0,3} verbose?:bool pattern?:str
git_commit message:str{1,30} amend?:bool files?:str[]{0,3}
git_log max_count?:int{1,100} since?:date until?:date
git_diff target:str context_lines?:int{0,20}
git_checkout branch_name:str create?:bool
git_add files:str[]{1,3}
git_reset mode:soft|mixed|hard commit?:str
query sql:str{1,30} params?:str[]{0,3}
list_tables schema?:str include_views?:bool
describe_table table:str{1,20}
insert_row table:str values:map<str>
update_rows table:str set:map<str> where:str limit?:int{1,1000}
delete_rows table:str where:str confirm:bool
create_index table:str columns:str[]{1,3} unique?:bool method?:btree|hash|gin|gist
explain_query sql:str analyze?:bool format?:text|json|xml|yaml
vacuum table?:str~ full?:bool
export_table table:str format:csv|json|parquet path:str
redis_set key:str value:str ttl?:int{1,86400}
redis_get key:str
redis_keys pattern:str count?:int{1,1000}
mongo_find collection:str filter:map<str> limit?:int{1,100} skip?:int{0,1000}
mongo_aggregate collection:str pipeline:map<str>[]{1,3}
browser_navigate url:uri
browser_click selector:str button?:left|right|middle count?:int{1,3}
browser_type selector:str text:str submit?:bool slowly?:bool
browser_screenshot full_page?:bool format?:png|jpeg quality?:int{0,100}
browser_wait_for text?:str time?:num{0,30}
browser_select_option selector:str values:str[]{1,3}
browser_drag from:<x:int{0,4000} y:int{0,4000}> to:<x:int{0,4000} y:int{0,4000}>
browser_resize width:int{100,4000} height:int{100,4000}
browser_evaluate function:str element?:str
browser_tab action:list|new|close|select index?:int{0,50}
web_search query:str{1,30} count?:int{1,20} offset?:int{0,9} freshness?:day|week|month|year
fetch_url url:uri max_length?:int{1,1000000} raw?:bool headers?:map<str>
news_search topic:business|sports|science|health country?:us|gb|de|fr|jp from?:date to?:date
image_search query:str size?:small|medium|large safe?:off|moderate|strict
translate text:str source?:str{2,5} target:str{2,5} formality?:default|more|less
summarize_url url:uri sentences?:int{1,10}
get_weather location:str{1,20} unit:celsius|fahrenheit
get_forecast latitude:num{-90,90} longitude:num{-180,180} days?:int{1,14} hourly?:bool
get_alerts state:AL|AK|CA|NY|TX|WA
air_quality city:str pollutant?:pm25|pm10|o3|no2
get_time timezone:str{1,20}
convert_time source_timezone:str time:time target_timezone:str
create_event title:str{1,30} start:date-time end:date-time attendees?:<email:email
  optional?:bool>[]{0,3} location?:str
list_events calendar_id:str time_min?:date-time time_max?:date-time max_results?:int{1,50}
update_event event_id:str{1,20} start?:date-time end?:date-time
  status?:confirmed|tentative|cancelled
delete_event event_id:str send_updates?:all|externalOnly|none
find_free_time participants:email[]{1,3} duration_minutes:int{5,480} between:<start:date-time
  end:date-time>
set_reminder text:str at:date-time repeat?:none|daily|weekly|monthly
send_email to:email[]{1,3} subject:str{1,30} body:str cc?:email[]{0,2} priority?:low|normal|high
search_email query:str from?:email after?:date has_attachment?:bool max?:int{1,50}
reply_email message_id:str body:str reply_all?:bool
label_email message_id:str add?:str[]{0,2} remove?:str[]{0,2}
draft_email to:email subject:str body:str
move_email message_id:str folder:inbox|archive|trash|spam
send_message channel:str{1,20} text:str{1,30} thread_ts?:str~
list_channels limit?:int{1,200} cursor?:str types?:public|private|im
add_reaction channel:str timestamp:str reaction:str{1,12}
get_thread channel:str thread_ts:str
create_channel name:str{1,20} is_private?:bool
invite_users channel:str users:str[]{1,3}
set_status text:str emoji?:str expiration_minutes?:int{0,1440}
send_sms to:str{3,15} body:str{1,30}
make_call to:str{3,15} message:str voice?:man|woman
create_ticket project:str{2,10} summary:str type:Bug|Task|Story|Epic priority?:Low|Medium|High
  labels?:str[]{0,3}
transition_ticket key:str to:Todo|Doing|Done comment?:str
search_tickets jql:str fields?:str[]{0,3} max_results?:int{1,50}
assign_ticket key:str account_id:str~
log_work key:str seconds:int{60,86400} started?:date-time
create_sprint board_id:int{1,9999} name:str start?:date end?:date
link_tickets from:str to:str type:blocks|duplicates|relates
create_page parent_id:uuid title:str blocks:<kind:paragraph|heading|todo text:str>[]{1,3}
update_page page_id:uuid title?:str archived?:bool
query_database database_id:uuid filter?:<property:str equals:str> sorts?:<property:str
  direction:ascending|descending>[]{0,2}
append_blocks block_id:uuid children:<type:text|code|quote content:str>[]{1,3}
search_pages query:str page_size?:int{1,100} sort?:relevance|last_edited
upload_file name:str{1,20} mime_type:str size:int{0,1000000} folder_id?:str~
share_file file_id:str email:email role:reader|commenter|writer
list_files folder_id?:str page_size?:int{1,100} order_by?:name|modified|size
copy_file file_id:str name?:str
delete_file file_id:str permanent?:bool
get_sheet_values spreadsheet_id:str range:str{1,12}
update_sheet_values spreadsheet_id:str range:str values:str[][]{1,3}
add_sheet spreadsheet_id:str title:str rows?:int{1,1000} columns?:int{1,26}
create_chart spreadsheet_id:str kind:bar|line|pie range:str title?:str
create_invoice customer:str{1,20} lines:<description:str quantity:int{1,100}
  unit_price:num{0,10000}>[]{1,3} due:date currency:USD|EUR|GBP
list_invoices status?:draft|open|paid|void customer?:str limit?:int{1,100}
refund_payment payment_id:str amount?:num{0,10000} reason?:duplicate|fraudulent|requested
create_customer name:str{1,20} email:email address?:<line1:str city:str postal_code:str{3,10}
  country:str{2,2}>
create_subscription customer:str price:str trial_days?:int{0,90} collect?:automatic|invoice
get_balance currency?:USD|EUR|GBP
convert_currency amount:num{0,1000000} from:USD|EUR|GBP|JPY to:USD|EUR|GBP|JPY
get_stock_price symbol:str{1,6} exchange?:NYSE|NASDAQ|LSE
stock_history symbol:str{1,6} from:date to:date interval:1d|1wk|1mo
place_order symbol:str{1,6} side:buy|sell quantity:int{1,10000} type:market|limit
  limit_price?:num{0,100000}
crypto_price ids:str[]{1,3} vs:usd|eur|btc
search_flights origin:str{3,3} destination:str{3,3} depart:date return?:date~ adults:int{1,9}
  cabin?:economy|business|first
book_flight offer_id:str passengers:<first:str last:str born:date>[]{1,3} seat?:aisle|window
search_hotels city:str check_in:date check_out:date guests:int{1,10} stars?:int{1,5}
  max_price?:num{0,5000}
book_hotel hotel_id:str room:single|double|suite nights:int{1,30} breakfast?:bool
search_restaurants location:str cuisine?:italian|french|thai|indian price?:int{1,4} open_now?:bool
reserve_table restaurant_id:str at:date-time party:int{1,20} notes?:str
get_directions origin:str destination:str mode:driving|walking|bicycling|transit avoid?:str[]{0,2}
geocode address:str{1,30}
reverse_geocode lat:num{-90,90} lng:num{-180,180}
nearby_places lat:num{-90,90} lng:num{-180,180} radius:int{1,50000} type?:cafe|bank|park
distance_matrix origins:str[]{1,2} destinations:str[]{1,2} units?:metric|imperial
order_ride pickup:<lat:num{-90,90} lng:num{-180,180}> dropoff:<lat:num{-90,90} lng:num{-180,180}>
  class:standard|xl|green
track_parcel carrier:dhl|ups|fedex|usps number:str{5,20}
order_food restaurant:str items:<name:str quantity:int{1,9} extras?:str[]{0,2}>[]{1,3}
  tip?:num{0,100}
set_light room:str{1,12} on:bool brightness?:int{0,100} color?:<r:int{0,255} g:int{0,255}
  b:int{0,255}>
set_thermostat zone:str target:num{5,30} mode:heat|cool|auto|off
lock_door door:front|back|garage locked:bool code?:str{4,8}
play_music query:str service?:spotify|apple|local volume?:int{0,100} shuffle?:bool
create_playlist name:str tracks:str[]{1,3} public?:bool
set_alarm time:time days?:mon|tue|wed|thu|fri[]{0,3} label?:str
vacuum_clean rooms:str[]{1,3} mode?:quiet|normal|turbo
camera_snapshot camera:str resolution?:480p|720p|1080p
take_photo camera:str flash?:auto|on|off timer?:int{0,10}
docker_run image:str{1,30} command?:str[]{0,3} env?:map<str> ports?:<host:int{1,65535}
  container:int{1,65535}>[]{0,2} detach?:bool
docker_logs container:str tail?:int{1,1000} follow?:bool
docker_stop container:str timeout?:int{0,60}
docker_build path:str tag:str build_args?:map<str> no_cache?:bool
kubectl_get kind:pods|services|deployments namespace?:str selector?:str output?:json|yaml|wide
kubectl_scale deployment:str replicas:int{0,100} namespace?:str
kubectl_apply manifest:str namespace?:str dry_run?:none|client|server
kubectl_logs pod:str container?:str since?:str lines?:int{1,5000}
terraform_plan dir:str vars?:map<str> targets?:str[]{0,2} destroy?:bool
terraform_apply dir:str auto_approve:bool
aws_s3_list bucket:str{3,20} prefix?:str max_keys?:int{1,1000}
aws_s3_put bucket:str key:str body:str content_type?:str acl?:private|public-read
aws_ec2_start instance_ids:str[]{1,3} dry_run?:bool
aws_lambda_invoke function:str payload:map<str> type?:RequestResponse|Event
cloudwatch_metrics namespace:str metric:str start:date-time end:date-time period:60|300|3600
  statistic:Average|Sum|Maximum
create_dns_record zone:str{3,20} type:A|AAAA|CNAME|TXT|MX name:str content:str ttl?:int{60,86400}
  proxied?:bool
allow_address rule:str address:ipv4 ports:int{1,65535}[]{1,3} protocol:tcp|udp
list_alerts severity?:info|warning|critical service?:str since?:date-time
acknowledge_alert id:uuid note?:str
create_incident title:str severity:SEV1|SEV2|SEV3 service:str responders?:email[]{0,3}
query_logs query:str from:date-time to:date-time limit?:int{1,1000} order?:asc|desc
query_prometheus expr:str{1,30} time?:date-time step?:str
create_dashboard title:str panels:<title:str expr:str kind:graph|stat|table>[]{1,3}
  refresh?:5s|1m|5m
feature_flag key:str enabled:bool rollout?:num{0,100} environments?:dev|staging|prod[]{0,3}
deploy service:str version:str{1,12} environment:dev|staging|prod
  strategy?:rolling|blue-green|canary
rollback service:str to_version?:str~ reason:str
calculate expression:str{1,30} precision?:int{0,15}
solve_equation equation:str variable:str{1,1} domain?:real|complex
plot_function expression:str from:num{-100,100} to:num{-100,100} points?:int{2,1000}
statistics values:num{-1000,1000}[]{1,5} measures:mean|median|stdev|variance[]{1,3}
unit_convert value:num{-1000000,1000000} from:m|km|mi|ft|kg|lb to:m|km|mi|ft|kg|lb
random_number min:int{0,1000} max:int{0,1000} count?:int{1,10}
generate_uuid version:1|4|7 count?:int{1,10}
hash_text text:str algorithm:md5|sha1|sha256|sha512
encode text:str to:base64|hex|url
validate_json text:str schema?:map<str>
regex_match pattern:str text:str flags?:g|i|m|s[]{0,2}
create_entities entities:<name:str entityType:str observations:str[]{0,2}>[]{1,2}
create_relations relations:<from:str to:str relationType:str>[]{1,2}
add_observations observations:<entityName:str contents:str[]{1,2}>[]{1,2}
search_nodes query:str
open_nodes names:str[]{1,3}
sequential_thinking thought:str nextThoughtNeeded:bool thoughtNumber:int{1,100}
  totalThoughts:int{1,100} isRevision?:bool branchId?:str
vector_search query:str top_k?:int{1,50} filter?:map<str> threshold?:num{0,1}
  include_vectors?:bool
upsert_documents collection:str documents:<id:uuid text:str metadata?:map<str>>[]{1,2}
generate_image prompt:str{1,30} size:256x256|512x512|1024x1024 n?:int{1,4} style?:vivid|natural
edit_image image:uri mask?:uri~ prompt:str strength?:num{0,1}
transcribe_audio url:uri language?:str{2,5} timestamps?:bool speakers?:int{1,10}
text_to_speech text:str voice:alloy|echo|nova speed?:num{0.25,4} format?:mp3|wav|opus
classify_text text:str labels:str[]{2,4} multi?:bool
extract_entities text:str types:person|place|organization|date[]{1,3}
moderate_text text:str categories?:hate|violence|spam[]{0,3} threshold?:num{0,1}
final_answer answer:str confidence:low|medium|high sources?:uri[]{0,3} follow_up?:str~
`;

type Schema = Record<string, unknown>;

interface Tool {
  readonly name: string;
  readonly parameters: Schema;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get done(): boolean {
    return this.#at >= this.#text.length;
  }

  #take(pattern: RegExp): string | undefined {
    const sticky = new RegExp(pattern.source, "y");
    sticky.lastIndex = this.#at;
    const found = sticky.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  /** Fields up to the end or ">". */
  object(): Schema {
    const properties: Record<string, Schema> = {};
    const required: string[] = [];
    while (!this.done && !this.#take(/>/)) {
      const name = this.#take(/\w+/)!;
      if (!this.#take(/\?/)) required.push(name);
      this.#take(/:/);
      properties[name] = this.#type();
      this.#take(/ /);
    }
    return { type: "object", properties, required, additionalProperties: false };
  }

  #range(): [number, number] | undefined {
    const text = this.#take(/\{[^}]*\}/);
    if (text === undefined) return undefined;
    const [low, high] = text.slice(1, -1).split(",").map(Number);
    return [low!, high!];
  }

  #type(): Schema {
    let schema = this.#single();
    while (this.#take(/\[\]/)) {
      const [minItems, maxItems] = this.#range() ?? [0, 2];
      schema = { type: "array", items: schema, minItems, maxItems };
    }
    return this.#take(/~/) ? { anyOf: [schema, { type: "null" }] } : schema;
  }

  #single(): Schema {
    if (this.#take(/map</)) {
      const additionalProperties = this.#type();
      this.#take(/>/);
      return { type: "object", additionalProperties, maxProperties: 2 };
    }
    if (this.#take(/</)) return this.object();
    const word = this.#take(/[\w.-]+(\|[\w.-]+)*/)!;
    if (word.includes("|")) return { type: "string", enum: word.split("|") };
    const range = this.#range();
    if (word === "str") {
      const [minLength, maxLength] = range ?? [0, 16];
      return { type: "string", minLength, maxLength, description: "text" };
    }
    if (word === "bool") return { type: "boolean", default: false };
    if (word !== "int" && word !== "num") return { type: "string", format: word };
    const type = word === "int" ? "integer" : "number";
    return range ? { type, minimum: range[0], maximum: range[1] } : { type };
  }
}

export const tools: readonly Tool[] = lines
  .trim()
  .replaceAll(/\n +/g, " ")
  .split("\n")
  .map((line) => {
    const [name = "", ...fields] = line.split(" ");
    return { name, parameters: new Reader(fields.join(" ")).object() };
  });
