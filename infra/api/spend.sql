-- name: today
SELECT cost::text FROM fiel.spend
 WHERE tenant = %(tenant)s AND owner = %(owner)s AND day = (clock_timestamp() AT TIME ZONE 'UTC')::date

-- name: charge
INSERT INTO fiel.spend AS s (tenant, owner, day, runs, input_tokens, output_tokens, cost)
VALUES (%(tenant)s, %(owner)s, (clock_timestamp() AT TIME ZONE 'UTC')::date, 1,
        %(input_tokens)s, %(output_tokens)s, %(cost)s::numeric)
    ON CONFLICT (tenant, owner, day) DO UPDATE
   SET runs = s.runs + 1, input_tokens = s.input_tokens + excluded.input_tokens,
       output_tokens = s.output_tokens + excluded.output_tokens, cost = s.cost + excluded.cost
