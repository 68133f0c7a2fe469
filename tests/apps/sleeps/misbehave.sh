# Longer than any build may take, and deaf to a polite request.
trap '' TERM
echo "sleeping"
while :; do sleep 3600; done
