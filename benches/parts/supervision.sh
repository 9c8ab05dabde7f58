# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# Supervises 100 daemons that sleep, in turn with a shell that only starts them, and with other supervisors. Each daemon
# is a program of its own, a link to a copy of `sleep`: its execution is observed, and process_pilot, which terminates
# every process of the name of one that it stops, finds no other.

mkdir programs manifest pilot supervisord
cp "$(realpath "$(command -v sleep)")" sleep
daemons=$(seq -f "nap-${scratch##*.}-%02g" 0 99)
for name in $daemons; do ln sleep "programs/$name"; done

{ for name in $daemons; do printf '[daemons.%s]\ncommand = ["%s", "600"]\nrestart_delay = 0\n' "$name" "$PWD/programs/$name"; done; } >manifest/rigup.toml
cat >shell.sh <<'SHELL'
for program in programs/*; do setsid "$program" 600 & done
SHELL
cat >rigup.sh <<'RIGUP'
cd manifest && exec "$@"
RIGUP
cat >commands.py <<'COMMANDS'
import json, os, sys
rigup, supervisord, supervisorctl, pilot, compose = sys.argv[1:]
here, data_dir = os.getcwd(), os.environ["RIGUP_DATA_DIR"]
commands = [
    {"name": "rigup", "start": ["sh", "rigup.sh", rigup, "up", "-d", "--wait"], "status": [rigup, "ps"], "stop": [rigup, "down"],
     "supervisor": [data_dir, "supervise"], "waiter": [data_dir, "waiter"], "returns": True, "remove": [data_dir]},
    {"name": "sh", "start": ["sh", "shell.sh"], "returns": True},
]
if supervisord:
    ctl = [supervisorctl, "-c", here + "/supervisord/conf"]
    commands.append({"name": "supervisord", "start": [supervisord, "-c", here + "/supervisord/conf"], "status": [*ctl, "status"],
                     "stop": [*ctl, "shutdown"], "supervisor": [supervisord, here + "/supervisord/conf"]})
if pilot:
    commands.append({"name": "process_pilot", "start": [pilot, here + "/pilot/run.py"], "supervisor": [pilot, here + "/pilot/run.py"]})
if compose:
    socket = here + "/compose.sock"
    commands.append({"name": "process-compose", "supervisor": [compose, "up", socket],
                     "start": [compose, "up", "-t=false", "-U", "-u", socket, "-f", here + "/compose.yaml"],
                     "status": [compose, "process", "list", "-U", "-u", socket], "stop": [compose, "down", "-U", "-u", socket]})
json.dump(commands, sys.stdout)
COMMANDS

supervisord='' supervisorctl='' pilot='' compose=''
if supervisord=$(from_pypi supervisor supervisord 3.9); then
    supervisorctl=$(dirname "$supervisord")/supervisorctl
    version supervisord "$supervisord" --version
    {
        printf '[supervisord]\nnodaemon=true\nlogfile=%s\npidfile=%s\nchildlogdir=%s\n' "$PWD"/supervisord/{log,pid,}
        printf '[unix_http_server]\nfile=%s\n[supervisorctl]\nserverurl=unix://%s\n' "$PWD"/supervisord/{socket,socket}
        printf '[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n'
        for name in $daemons; do printf '[program:%s]\ncommand=%s 600\nstartsecs=0\nautorestart=true\n' "$name" "$PWD/programs/$name"; done
    } >supervisord/conf
else
    skip "100 daemons, by supervisord" "$supervisord" && supervisord=
fi
if pilot=$(from_pypi process_pilot python 3.10); then
    version process_pilot "$pilot" -c 'from importlib.metadata import version; print(version("process_pilot"))'
    cat >pilot/run.py <<'RUN'
import logging, pathlib, signal
from process_pilot.pilot import ProcessPilot
from process_pilot.process import ProcessManifest
logging.disable()
pilot = ProcessPilot(ProcessManifest.from_json(pathlib.Path(__file__).with_name("manifest.json")))
signal.signal(signal.SIGTERM, lambda *_: pilot.stop())
pilot.start()
while pilot.is_running():
    signal.pause()
RUN
    {
        printf '{"processes": ['
        separator=
        for name in $daemons; do
            printf '%s{"name": "%s", "path": "%s", "args": ["600"]}' "$separator" "$name" "$PWD/programs/$name"
            separator=', '
        done
        printf ']}\n'
    } >pilot/manifest.json
else
    skip "100 daemons, by process_pilot" "$pilot" && pilot=
fi
if compose=$(command -v process-compose); then
    version process-compose "$compose" version
    {
        printf 'processes:\n'
        for name in $daemons; do
            printf '  %s: {command: "exec %s 600", availability: {restart: always, backoff_seconds: 0}}\n' "$name" "$PWD/programs/$name"
        done
    } >compose.yaml
else
    skip "100 daemons, by process-compose" "it is not on PATH, and neither PyPI nor npm has it"
fi

python3 commands.py "$rigup" "$supervisord" "$supervisorctl" "$pilot" "$compose" >commands.json
python3 "$root/benches/supervisors.py" $(((runs + 3) / 4)) "$PWD/programs" commands.json >values

# value NAME QUANTITY: prints the median and the lowest value, or fails if there is none.
value() { grep "^$1 $2 " values | cut -d ' ' -f 3-; }

# against WHAT QUANTITY UNIT BASELINE [TARGET...]: adds a row, if the baseline has this quantity.
against() {
    local theirs
    theirs=$(value "$4" "$2") || return 0
    row "$1" "$4" "$(value rigup "$2")" "$theirs" "$3" "${@:5}"
}

row "start of 100 daemons" "sh: setsid sleep &" "$(value rigup start)" "$(value sh start)" ms "ratio 4"
against "start of 100 daemons" start ms supervisord "ratio 1.0"
against "start of 100 daemons" start ms process-compose "ratio 1.0"
against "start of 100 daemons" start ms process_pilot
for name in supervisord process_pilot process-compose; do
    against "restart after a daemon was killed" restart ms "$name" "below 20"
    against "stop of 100 daemons" stop ms "$name"
    against "status of 100 daemons" status ms "$name" "below 10"
    against "memory of the supervisor" memory MB "$name" "below 12"
    against "CPU time in 10 s without events" idle ms "$name" "below 10"
done
row "memory of the waiters of 100 daemons" "the supervisor" "$(value rigup waiters)" "$(value rigup memory)" MB
