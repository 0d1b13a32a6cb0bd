select bucket, count(*) as notes, max(id) as newest from {{ ref('few') }} group by bucket
