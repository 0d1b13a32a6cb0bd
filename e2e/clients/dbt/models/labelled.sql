select b.bucket, b.notes, l.label from {{ ref('buckets') }} b join {{ ref('labels') }} l on l.bucket = b.bucket
